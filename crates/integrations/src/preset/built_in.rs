//! The presets that come with Tagalong.

macro_rules! presets {
    ($($name:literal)*) => {
        /// Names and contents of `presets/*.toml`.
        pub(super) const FILES: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../presets/", $name, ".toml"))),)*
        ];
    };
}

presets! {
    "copecart"
}
