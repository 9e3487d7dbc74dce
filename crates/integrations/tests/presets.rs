//! Every preset that comes with Tagalong.

use tagalong_integrations::Presets;

#[test]
fn all_parse() {
    let presets = Presets::load(None).unwrap();
    assert!(presets.iter().count() > 30);
}
