//! What does the portal show? Pages that need no script, and say nothing that was not escaped.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, html};

use crate::services::identities::{IdentityView, Source};

/// How the pages look; served as a file, so that nothing of a page is code.
pub(super) const STYLE: &str = "\
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 24rem; margin: 3rem auto; padding: 0 1rem; }
label { display: block; margin-top: 1rem; }
input, button { box-sizing: border-box; width: 100%; padding: .6rem; font: inherit; }
button { margin-top: 1.5rem; }
.told { padding: .6rem; border-left: .25rem solid #c33; }
.terms { white-space: pre-line; }
";

/// What all pages share.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) terms: Option<String>,
}

impl Frame {
    /// Name and password are asked for; `told` is why once more.
    pub(super) fn login(&self, told: Option<&str>) -> Markup {
        self.around(
            told,
            &html! {
                @if let Some(terms) = &self.terms { p.terms { (terms) } }
                form method="post" action="/portal/login" {
                    (name_and_password("Password"))
                    button { "Log in" }
                }
            },
        )
    }

    /// A password that must be changed is changed.
    pub(super) fn new_password(&self, told: &str) -> Markup {
        self.around(
            Some(told),
            &html! {
                form method="post" action="/portal/login" {
                    (name_and_password("Password until now"))
                    label { "New password"
                        input type="password" name="new_password" autocomplete="new-password" required;
                    }
                    button { "Change it and log in" }
                }
            },
        )
    }

    /// Who uses the address.
    pub(super) fn known(&self, view: &IdentityView) -> Markup {
        let name = view.who.username.as_deref().unwrap_or(&view.who.user_id);
        self.around(
            None,
            &html! {
                p { "You are logged in as " strong { (name) } "." }
                @if let Some(until) = view.expires_s.and_then(clock) { p { "Until " (until) "." } }
                @if view.source == Source::Portal {
                    form method="post" action="/portal/logout" { button { "Log out" } }
                }
            },
        )
    }

    /// Something is said, and where it goes on.
    pub(super) fn told(&self, told: &str, url: &str) -> Markup {
        self.around(Some(told), &html! { p { a href=(url) { "To the login page" } } })
    }

    fn around(&self, told: Option<&str>, body: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) }
                    link rel="stylesheet" href="/portal/style.css";
                }
                body {
                    h1 { (self.title) }
                    @if let Some(told) = told { p.told role="alert" { (told) } }
                    (body)
                }
            }
        }
    }
}

fn name_and_password(password: &str) -> Markup {
    html! {
        label { "Name"
            input name="username" autocomplete="username" autocapitalize="none" required autofocus;
        }
        label { (password)
            input type="password" name="password" autocomplete="current-password" required;
        }
    }
}

/// A time as people read it, in the box's time zone.
fn clock(s: u64) -> Option<String> {
    let time = Timestamp::from_second(i64::try_from(s).ok()?).ok()?;
    Some(time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M %Z").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_escaped() {
        let frame = Frame { title: "A & B".to_owned(), terms: Some("<b>be nice</b>".to_owned()) };
        let page = frame.login(Some("<script>")).into_string();
        assert!(
            page.contains("A &amp; B")
                && page.contains("&lt;b&gt;be nice")
                && page.contains("&lt;script&gt;")
        );
        assert!(!page.contains("<script") && !page.contains("<b>"));
    }
}
