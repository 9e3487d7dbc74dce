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
    "ablefy"
    "activecampaign"
    "aweber"
    "bigmarker"
    "brevo"
    "cleverreach"
    "clickbank"
    "clickmeeting"
    "cope"
    "copecart"
    "customerio"
    "demio"
    "digistore24"
    "ewebinar"
    "generic-checkout"
    "generic-webinar"
    "getresponse"
    "gotowebinar"
    "hubspot"
    "kajabi"
    "kit"
    "klaviyo"
    "klicktipp"
    "lemonsqueezy"
    "livestorm"
    "mailchimp"
    "mailerlite"
    "mautic"
    "paddle"
    "postmark"
    "quentn"
    "sendgrid"
    "shopify"
    "stripe"
    "thrivecart"
    "webinargeek"
    "webinaris"
    "webinarjam"
    "zoom"
}
