//! `presets/samples/{preset}/{event}.http` is a delivery as it came in: who signed it and when, its headers, an empty
//! line, its body. `{event}.txt` is what it says to us.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use tagalong_integrations::Delivery;

pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("presets")
}

#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) secret: String,
    pub(crate) at: Timestamp,
    pub(crate) query: String,
}

impl Sample {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap();
        let mut sample = Self {
            headers: HeaderMap::new(),
            body: bytes[end + 2..].to_vec(),
            secret: String::new(),
            at: Timestamp::UNIX_EPOCH,
            query: String::new(),
        };
        for line in std::str::from_utf8(&bytes[..end]).unwrap().lines() {
            let (name, value) = line.split_once(": ").unwrap();
            match name {
                "# secret" => value.clone_into(&mut sample.secret),
                "# at" => sample.at = value.parse().unwrap(),
                "# query" => value.clone_into(&mut sample.query),
                name => {
                    let name: HeaderName = name.parse().unwrap();
                    sample.headers.insert(name, HeaderValue::from_str(value).unwrap());
                }
            }
        }
        sample
    }

    /// The sample of an event.
    pub(crate) fn of(preset: &str, event: &str) -> Self {
        Self::read(&directory().join("samples").join(preset).join(format!("{event}.http")))
    }

    pub(crate) fn delivery(&self) -> Delivery<'_> {
        Delivery { headers: &self.headers, query: &self.query, path_secret: None, body: &self.body }
    }
}

pub(crate) fn samples() -> BTreeMap<String, Vec<PathBuf>> {
    let mut samples: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for preset in fs::read_dir(directory().join("samples")).unwrap() {
        let preset = preset.unwrap();
        for file in fs::read_dir(preset.path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().unwrap() == "http" {
                let name = preset.file_name().into_string().unwrap();
                samples.entry(name).or_default().push(path);
            }
        }
    }
    samples
}
