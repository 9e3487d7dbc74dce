//! Every preset that comes with Tagalong, on a sample of what its platform sends.

use std::{fs, path::Path};

use tagalong_attribution::id::{AffiliateId, NoAffiliate};
use tagalong_integrations::{
    Payload, Presets,
    preset::{Kind, Preset},
};

use crate::sample::{Sample, directory, samples};

fn check(preset: &Preset, path: &Path) -> Result<(), String> {
    let sample = Sample::read(path);
    let payload = preset
        .verify(&["another-secret", &sample.secret], &sample.delivery(), sample.at)
        .map_err(|refusal| format!("{}: {refusal}", path.display()))?;
    let kept = Payload::from_bytes(&payload.to_bytes()).unwrap();
    let said = match preset.read(&kept) {
        Ok(reading) => {
            assert!(!format!("{reading} {reading:?}").contains("ada@"), "{}", path.display());
            reading.to_string()
        }
        Err(unmapped) => format!("{unmapped}\n"),
    };
    let expected = fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
    if said == expected { Ok(()) } else { Err(format!("{}:\n{said}", path.display())) }
}

#[test]
fn every_sample_says_what_it_should() {
    let presets = Presets::load(None).unwrap();
    let failed: Vec<_> = samples()
        .iter()
        .flat_map(|(name, paths)| paths.iter().map(|path| (presets.get(name).unwrap(), path)))
        .filter_map(|(preset, path)| check(preset, path).err())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_preset_has_a_sample_or_says_what_is_missing() {
    let samples = samples();
    for preset in Presets::load(None).unwrap().iter() {
        let name = preset.name();
        match (preset.kind(), preset.draft()) {
            (_, Some(missing)) => {
                assert!(!missing.is_empty() && !samples.contains_key(name), "{name}");
                assert!(!preset.verified(), "{name}");
            }
            (Kind::Checkout | Kind::Webinar, None) => assert!(samples.contains_key(name), "{name}"),
            (Kind::Email, None) => {}
        }
    }
}

#[test]
fn a_tag_nobody_filled_in_names_nobody() {
    for preset in Presets::load(None).unwrap().iter() {
        if let Some(tags) = preset.merge_tags() {
            let tag = tags.tag("aff").unwrap();
            assert_eq!(tag, tags.sample, "{}", preset.name());
            let read = AffiliateId::read(&tag);
            assert_eq!(read, Err(NoAffiliate::Unresolved), "{}: {tag}", preset.name());
        }
    }
}

#[test]
fn free_fields_hold_a_token_and_a_click() {
    let token = "AQEBmcrk0FJ0cH2yQPV4QJ3nYx0a1b2c3d4e5f6g7h8i9j0_-kk";
    for preset in Presets::load(None).unwrap().iter() {
        if let Some(field) = &preset.links().reference {
            assert!(field.holds(token), "{}", preset.name());
            assert!(field.holds("0195555a-0000-7000-8000-000000000001"), "{}", preset.name());
        }
    }
}

#[test]
fn every_file_is_built_in() {
    let presets = Presets::load(None).unwrap();
    let files = fs::read_dir(directory()).unwrap().map(|file| file.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some()).collect();
    for path in &files {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(presets.get(name).is_some(), "{name}");
    }
    assert_eq!(presets.iter().count(), files.len());
}

fn page() -> String {
    fs::read_to_string(directory().join("../../../docs/presets.md")).unwrap()
}

#[test]
fn the_pages_example_is_a_preset() {
    let page = page();
    let (_, example) = page.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let preset = Preset::parse("shop", example).unwrap();
    assert!(preset.verified());
}

#[test]
fn the_page_explains_every_key() {
    let page = page();
    for preset in Presets::load(None).unwrap().iter() {
        let table: toml::Table = preset.toml().parse().unwrap();
        for key in keys(&table) {
            assert!(page.contains(&format!("`{key}`")), "{}: {key}", preset.name());
        }
    }
}

/// All keys but those that a platform's own words are.
fn keys(table: &toml::Table) -> Vec<String> {
    let mut all = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(table)
                if !["settings", "kinds", "parts"].contains(&key.as_str()) =>
            {
                all.extend(keys(table));
            }
            toml::Value::Table(_) => {}
            _ => all.push(key.clone()),
        }
    }
    all
}
