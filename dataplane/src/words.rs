//! Which words are meant: by who mistyped one, and by a pattern?

/// `" (did you mean \"x\"?)"` for the nearest of `known`, or nothing where none is near.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    // A third of the letters may differ, two at least: `dst_prot` finds `dst_port`, `foo` finds nothing.
    let limit = (word.chars().count() / 3).max(2);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&word.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= limit && *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| format!(" (did you mean \"{name}\"?)"))
        .unwrap_or_default()
}

/// Whether `pattern`, in which `*` stands for any characters or none, matches all of `text`.
///
/// Greedy from the left with the last piece anchored at the end: no backtracking, linear for each piece.
pub(crate) fn wildcard(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let (middle, tail) = match rest.rsplit_once('*') {
        Some((middle, tail)) => (middle, tail),
        None => ("", rest),
    };
    for piece in middle.split('*') {
        let Some(at) = text.find(piece) else { return false };
        text = &text[at + piece.len()..];
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_shells_do() {
        for (pattern, text, expected) in [
            ("spotify", "spotify", true),
            ("spotify", "spotify-web", false),
            ("*", "", true),
            ("*torrent*", "bittorrent", true),
            ("*torrent*", "torrent", true),
            ("*torrent*", "tor", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("a*bc*bc", "abcbc", true),
            ("a*bc*bc", "abc", false),
            ("**x", "yx", true),
            ("microsoft-*", "microsoft-teams", true),
            ("cdn*.example.net", "cdn.example.net", true),
            ("cdn*.example.net", "cdn1.eu.example.net", true),
            ("cdn*.example.net", "xcdn1.example.net", false),
            ("*-teams.example.net", "teams.example.net", false),
        ] {
            assert_eq!(wildcard(pattern, text), expected, "{pattern} {text}");
        }
    }
}
