//! `tagalong key`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use tagalong_chassis::keys::{TokenKeys, replace_private};

use crate::output;

/// The keys that attendee tokens are signed with
///
/// To change keys without killing mailed links: `add`, bring the file to every service and restart them, `sign`,
/// the same again; `remove` the old key when no link made with it is needed any more.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// List the keys of a file, without the keys themselves
    #[command(after_help = "Example:\n  tagalong key list --json")]
    List {
        #[command(flatten)]
        file: File,
        /// Print JSON Lines
        #[arg(long)]
        json: bool,
    },
    /// Make a file with one new key
    #[command(after_help = "Example:\n  tagalong key generate --file token-keys.toml")]
    Generate {
        #[command(flatten)]
        file: File,
    },
    /// Add a new key, which verifies but does not sign yet
    #[command(after_help = "Example:\n  tagalong key add")]
    Add {
        #[command(flatten)]
        file: File,
    },
    /// Sign with another key from the next start on
    #[command(after_help = "Example:\n  tagalong key sign 2")]
    Sign {
        /// The key's ID
        id: u8,
        #[command(flatten)]
        file: File,
    },
    /// Remove a key: links made with it lose their attendee
    #[command(after_help = "Example:\n  tagalong key remove 1")]
    Remove {
        /// The key's ID
        id: u8,
        #[command(flatten)]
        file: File,
    },
}

/// Where the keys are.
#[derive(clap::Args)]
pub(crate) struct File {
    /// The key file
    #[arg(long, value_name = "FILE", default_value = "tagalong-data/token-keys.toml")]
    file: PathBuf,
}

impl File {
    fn change(
        &self,
        change: impl FnOnce(&mut TokenKeys) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut keys = TokenKeys::load(&self.file)?;
        change(&mut keys)?;
        replace_private(&self.file, keys.to_toml()?.as_bytes())
            .with_context(|| format!("cannot write {}", self.file.display()))?;
        output::line("Done. Bring the file to every service, and restart them.")
    }
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { file, json } => {
                let keys = TokenKeys::load(&file.file)?;
                for (id, _) in keys.keys() {
                    let signs = id == keys.signing();
                    output::line(if json {
                        serde_json::json!({ "id": id, "signs": signs }).to_string()
                    } else {
                        format!("{id}{}", if signs { "  signs" } else { "" })
                    })?;
                }
            }
            Self::Generate { file } => {
                anyhow::ensure!(!file.file.exists(), "{} exists", file.file.display());
                TokenKeys::load_or_generate(&file.file)?;
            }
            Self::Add { file } => file.change(|keys| {
                let id = keys.add()?;
                output::line(format!("Key {id} is new; it verifies, and does not sign yet."))
            })?,
            Self::Sign { id, file } => file.change(|keys| keys.sign_with(id))?,
            Self::Remove { id, file } => file.change(|keys| keys.remove(id))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
