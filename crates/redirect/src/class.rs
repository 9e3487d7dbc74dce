//! Who or what seems to visit. A hint for counting: nobody is identified, and nothing is refused, by it.

use std::{cell::RefCell, collections::HashMap};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header::USER_AGENT};
use isbot::Bots;
use tagalong_proto::v1::ClickClass;

/// How much of a user agent is looked at, in bytes.
const MAX_AGENT: usize = 1024;

/// What messengers and networks call themselves when they draw a preview of a link somebody posted; lower case.
const PREVIEWERS: [&str; 18] = [
    "facebookexternalhit",
    "facebot",
    "whatsapp/",
    "telegrambot",
    "twitterbot",
    "slackbot-linkexpanding",
    "slack-imgproxy",
    "linkedinbot",
    "discordbot",
    "skypeuripreview",
    "microsoftpreview",
    "google-pagerenderer",
    "kakaotalk-scrap",
    "line-poker",
    "redditbot",
    "vkshare",
    "embedly",
    "iframely",
];

/// Patterns of the bot list that also catch browsers people use; the crawlers they are meant for are caught by
/// others, such as `bot` and `spider`.
const BROWSERS_TOO: [&str; 7] =
    ["sogou", "coccoc", "seznam", "kaspersky", "qqdownload", "^ddg_android", "^duckduckgo"];

/// How many user agents each thread remembers; there are few that many visitors have.
const REMEMBERED: usize = 512;

thread_local! {
    /// What was made of user agents lately.
    static AGENTS: RefCell<HashMap<Box<[u8]>, ClickClass>> = RefCell::default();
}

/// Tells visitors apart.
#[derive(Debug)]
pub(crate) struct Classes(Bots);

impl Classes {
    /// Compiles the bot list, which takes some milliseconds.
    pub(crate) fn new() -> Self {
        let mut bots = Bots::default();
        bots.remove(&BROWSERS_TOO);
        Self(bots)
    }

    pub(crate) fn of(&self, method: &Method, headers: &HeaderMap) -> ClickClass {
        if method == Method::HEAD {
            return ClickClass::Head;
        }
        let says = |header, word| says(headers, header, word);
        if says("sec-purpose", "prefetch")
            || says("sec-purpose", "prerender")
            || says("purpose", "prefetch")
            || says("x-moz", "prefetch")
        {
            ClickClass::Prefetch
        } else if says("x-purpose", "preview") || says("purpose", "preview") {
            ClickClass::Preview
        } else {
            let agent = headers.get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
            self.of_agent(&agent[..agent.len().min(MAX_AGENT)])
        }
    }

    /// As [`look_at`](Self::look_at), from memory where it can be.
    fn of_agent(&self, agent: &[u8]) -> ClickClass {
        AGENTS.with_borrow_mut(|agents| {
            if let Some(class) = agents.get(agent) {
                return *class;
            }
            if agents.len() >= REMEMBERED {
                agents.clear();
            }
            let class = self.look_at(agent);
            agents.insert(agent.into(), class);
            class
        })
    }

    fn look_at(&self, agent: &[u8]) -> ClickClass {
        let agent = String::from_utf8_lossy(agent).trim().to_ascii_lowercase();
        if PREVIEWERS.iter().any(|previewer| agent.contains(previewer)) {
            ClickClass::Preview
        } else if agent.is_empty() || self.0.is_bot(&agent) {
            ClickClass::Bot
        } else {
            ClickClass::Human
        }
    }
}

fn says(headers: &HeaderMap, name: &'static str, word: &str) -> bool {
    headers
        .get_all(HeaderName::from_static(name))
        .iter()
        .any(|value| value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains(word)))
}

#[cfg(test)]
mod tests {
    use ClickClass::{Bot, Head, Human, Prefetch, Preview};

    use super::*;

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

    fn class(classes: &Classes, headers: &[(&'static str, &str)]) -> ClickClass {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        classes.of(&Method::GET, &headers)
    }

    #[test]
    fn by_header() {
        let classes = Classes::new();
        for (header, value, expected) in [
            ("sec-purpose", "prefetch", Prefetch),
            ("sec-purpose", "prefetch;prerender", Prefetch),
            ("sec-purpose", "prefetch;anonymous-client-ip", Prefetch),
            ("purpose", "Prefetch", Prefetch),
            ("x-moz", "prefetch", Prefetch),
            ("x-purpose", "preview", Preview),
            ("purpose", "something", Human),
            ("sec-fetch-dest", "document", Human),
        ] {
            assert_eq!(
                class(&classes, &[("user-agent", CHROME), (header, value)]),
                expected,
                "{header}: {value}"
            );
        }
        assert_eq!(class(&classes, &[]), Bot);
        assert_eq!(class(&classes, &[("user-agent", "  ")]), Bot);
        assert_eq!(classes.of(&Method::HEAD, &HeaderMap::new()), Head);
    }

    #[test]
    fn by_user_agent() {
        let classes = Classes::new();
        for (agent, expected) in [
            (CHROME, Human),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
                Human,
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
                Human,
            ),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", Human),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                Human,
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 OPR/125.0.0.0",
                Human,
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
                Human,
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; CUBOT P80) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
                Human,
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; SM-A546B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/142.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/530.0.0.48.74;]",
                Human,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 390.0.0.28.85 (iPhone15,2; iOS 18_5; de_DE)",
                Human,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [LinkedInApp]/9.31",
                Human,
            ),
            (
                "Mozilla/5.0 (Linux; Android 12; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/120.0 Mobile Safari/537.36 musical_ly_2023 TikTok",
                Human,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15",
                Human,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) GSA/380.0 Mobile/15E148 Safari/604.1",
                Human,
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/80.0 Safari/537.36 SE 2.X MetaSr 1.0 SogouMobileBrowser/5",
                Human,
            ),
            (
                "Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 YaBrowser/23.11 Mobile Safari/537.36",
                Human,
            ),
            (
                "Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36 Snapchat/12.60",
                Human,
            ),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Bot),
            ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", Bot),
            ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", Bot),
            ("Sogou web spider/4.0(+http://www.sogou.com/docs/help/webmasters.htm#07)", Bot),
            (
                "Mozilla/5.0 (compatible; SeznamBot/4.0; +http://napoveda.seznam.cz/seznambot-intro/)",
                Bot,
            ),
            ("DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)", Bot),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/142.0.0.0 Safari/537.36",
                Bot,
            ),
            ("curl/8.9.1", Bot),
            ("Wget/1.24.5", Bot),
            ("python-requests/2.32", Bot),
            ("Go-http-client/2.0", Bot),
            ("okhttp/4.12.0", Bot),
            ("WhatsApp/2.24.20.89 A", Preview),
            ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", Preview),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
                Preview,
            ),
            ("TelegramBot (like TwitterBot)", Preview),
            ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", Preview),
            (
                "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
                Preview,
            ),
            ("Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", Preview),
            ("Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5", Preview),
        ] {
            assert_eq!(class(&classes, &[("user-agent", agent)]), expected, "{agent}");
        }
    }

    #[test]
    fn odd_bytes_are_looked_at() {
        let mut headers = HeaderMap::new();
        let agent = http::HeaderValue::from_bytes(&[0xff; 4000]).unwrap();
        headers.insert(USER_AGENT, agent);
        assert_eq!(Classes::new().of(&Method::GET, &headers), Human);
    }
}
