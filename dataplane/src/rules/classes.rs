//! What the words of `classtype` and `reference` stand for: `classification.config` and `reference.config`.
//!
//! ```text
//! config classification: trojan-activity,A Network Trojan was detected,1
//! config reference: cve https://cve.mitre.org/cgi-bin/cvename.cgi?name=
//! ```
//!
//! Where no file is named, those that come with Suricata count; where one is, only what it says. Of a name that is there twice the
//! first counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::language::{Fault, Value, Wrong, lines_that_say};

/// Entries of a file.
const ENTRIES_MAX: usize = 10_000;

/// What EVE says of a class that the file does not have, as Suricata does.
const UNKNOWN: &str = "Unknown Classtype";

/// A class of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// What EVE calls it (`alert.category`).
    pub description: Arc<str>,
    /// Of its rules that say none themselves.
    pub priority: u8,
}

/// Classes by name, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes {
    known: BTreeMap<Box<str>, Class>,
    unknown: Class,
}

impl Classes {
    fn of(known: BTreeMap<Box<str>, Class>) -> Self {
        Self { known, unknown: Class { description: UNKNOWN.into(), priority: super::set::PRIORITY } }
    }

    /// Those that come with Suricata.
    #[must_use]
    pub fn usual() -> Self {
        let class = |(name, description, priority): &(&str, &str, u8)| {
            (Box::from(*name), Class { description: Arc::from(*description), priority: *priority })
        };
        Self::of(USUAL.iter().map(class).collect())
    }

    /// None so far.
    #[must_use]
    pub fn none() -> Self {
        Self::of(BTreeMap::new())
    }

    /// Adds what a `classification.config` says; gives what is wrong with the other lines.
    pub fn add(&mut self, text: &[u8]) -> Vec<Fault> {
        let known = &mut self.known;
        entries(text, |value| {
            let (name, class) = class(value)?;
            is_bounded(value, known.len())?;
            known.entry(name).or_insert(class);
            Ok(())
        })
    }

    /// A class by its name; `None`: no file has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Class> {
        self.known.get(name.to_ascii_lowercase().as_str())
    }

    /// What a class that no file has counts as, as with Suricata.
    #[must_use]
    pub const fn unknown(&self) -> &Class {
        &self.unknown
    }
}

impl Default for References {
    fn default() -> Self {
        Self::none()
    }
}

/// Where references are found: what stands before them, by their scheme in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct References(BTreeMap<Box<str>, Box<str>>);

impl References {
    /// Those that come with Suricata.
    #[must_use]
    pub fn usual() -> Self {
        Self(
            USUAL_REFERENCES
                .iter()
                .map(|(scheme, begins)| (Box::from(*scheme), Box::from(*begins)))
                .collect(),
        )
    }

    /// None so far.
    #[must_use]
    pub const fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds what a `reference.config` says; gives what is wrong with the other lines.
    pub fn add(&mut self, text: &[u8]) -> Vec<Fault> {
        let known = &mut self.0;
        entries(text, |value| {
            let said = said(value, "reference")?;
            let expected =
                || said.expected("a scheme and the beginning of its addresses with a space between");
            let space = said.bytes().iter().position(u8::is_ascii_whitespace).ok_or_else(expected)?;
            let (scheme, begins) = (said.part(0, space), said.part(space, said.bytes().len()).trim());
            let scheme = scheme.name()?.to_ascii_lowercase().into();
            is_bounded(value, known.len())?;
            known.entry(scheme).or_insert_with(|| String::from_utf8_lossy(begins.bytes()).into());
            Ok(())
        })
    }

    /// Where a reference is found; `None`: nobody knows its scheme.
    #[must_use]
    pub fn address(&self, scheme: &str, what: &str) -> Option<String> {
        let begins = self.0.get(scheme.to_ascii_lowercase().as_str())?;
        let is_whole = scheme.eq_ignore_ascii_case("url") && what.contains("://");
        Some(if is_whole { what.to_owned() } else { format!("{begins}{what}") })
    }
}

/// Each line that says something, to `read`.
fn entries(text: &[u8], mut read: impl FnMut(Value<'_>) -> Result<(), Wrong>) -> Vec<Fault> {
    let wrong = |(line, value)| read(value).err().map(|wrong| Fault::of_line(line, wrong));
    lines_that_say(text).filter_map(wrong).collect()
}

fn is_bounded(value: Value<'_>, entries: usize) -> Result<(), Wrong> {
    match entries < ENTRIES_MAX {
        true => Ok(()),
        false => Err(value.wrong(format!("there are more than {ENTRIES_MAX} of them"))),
    }
}

/// What stands behind `config WORD:`.
fn said<'a>(value: Value<'a>, word: &str) -> Result<Value<'a>, Wrong> {
    let expected = || value.expected(&format!("`config {word}:` and what follows it"));
    let rest = value.trim().strip("config").ok_or_else(expected)?.trim();
    let rest = rest.strip(word).ok_or_else(expected)?.trim();
    Ok(rest.strip(":").ok_or_else(expected)?.trim())
}

fn class(value: Value<'_>) -> Result<(Box<str>, Class), Wrong> {
    let said = said(value, "classification")?;
    let expected = || said.expected("a name, a description and a priority with commas between");
    let (name, rest) = said.split_once(b',').ok_or_else(expected)?;
    // The description may have commas.
    let comma = rest.bytes().iter().rposition(|byte| *byte == b',').ok_or_else(expected)?;
    let (description, priority) = (rest.part(0, comma), rest.part(comma + 1, rest.bytes().len()));
    let (description, priority) = (description.trim(), priority.trim());
    if description.is_empty() {
        return Err(expected());
    }
    let description = String::from_utf8_lossy(description.bytes()).into();
    let priority = priority.number(0, u8::MAX.into())? as u8;
    Ok((name.name()?.to_ascii_lowercase().into(), Class { description, priority }))
}

/// The `classification.config` that comes with Suricata.
const USUAL: &[(&str, &str, u8)] = &[
    ("not-suspicious", "Not Suspicious Traffic", 3),
    ("unknown", "Unknown Traffic", 3),
    ("bad-unknown", "Potentially Bad Traffic", 2),
    ("attempted-recon", "Attempted Information Leak", 2),
    ("successful-recon-limited", "Information Leak", 2),
    ("successful-recon-largescale", "Large Scale Information Leak", 2),
    ("attempted-dos", "Attempted Denial of Service", 2),
    ("successful-dos", "Denial of Service", 2),
    ("attempted-user", "Attempted User Privilege Gain", 1),
    ("unsuccessful-user", "Unsuccessful User Privilege Gain", 1),
    ("successful-user", "Successful User Privilege Gain", 1),
    ("attempted-admin", "Attempted Administrator Privilege Gain", 1),
    ("successful-admin", "Successful Administrator Privilege Gain", 1),
    ("rpc-portmap-decode", "Decode of an RPC Query", 2),
    ("shellcode-detect", "Executable code was detected", 1),
    ("string-detect", "A suspicious string was detected", 3),
    ("suspicious-filename-detect", "A suspicious filename was detected", 2),
    ("suspicious-login", "An attempted login using a suspicious username was detected", 2),
    ("system-call-detect", "A system call was detected", 2),
    ("tcp-connection", "A TCP connection was detected", 4),
    ("trojan-activity", "A Network Trojan was detected", 1),
    ("unusual-client-port-connection", "A client was using an unusual port", 2),
    ("network-scan", "Detection of a Network Scan", 3),
    ("denial-of-service", "Detection of a Denial of Service Attack", 2),
    ("non-standard-protocol", "Detection of a non-standard protocol or event", 2),
    ("protocol-command-decode", "Generic Protocol Command Decode", 3),
    ("web-application-activity", "access to a potentially vulnerable web application", 2),
    ("web-application-attack", "Web Application Attack", 1),
    ("misc-activity", "Misc activity", 3),
    ("misc-attack", "Misc Attack", 2),
    ("icmp-event", "Generic ICMP event", 3),
    ("inappropriate-content", "Inappropriate Content was Detected", 1),
    ("policy-violation", "Potential Corporate Privacy Violation", 1),
    ("default-login-attempt", "Attempt to login by a default username and password", 2),
    ("targeted-activity", "Targeted Malicious Activity was Detected", 1),
    ("exploit-kit", "Exploit Kit Activity Detected", 1),
    ("external-ip-check", "Device Retrieving External IP Address Detected", 2),
    ("domain-c2", "Domain Observed Used for C2 Detected", 1),
    ("pup-activity", "Possibly Unwanted Program Detected", 2),
    ("credential-theft", "Successful Credential Theft Detected", 1),
    ("social-engineering", "Possible Social Engineering Attempted", 2),
    ("coin-mining", "Crypto Currency Mining Activity Detected", 2),
    ("command-and-control", "Malware Command and Control Activity Detected", 1),
];

/// The `reference.config` that comes with Suricata.
const USUAL_REFERENCES: &[(&str, &str)] = &[
    ("bugtraq", "http://www.securityfocus.com/bid/"),
    ("bid", "http://www.securityfocus.com/bid/"),
    ("cve", "http://cve.mitre.org/cgi-bin/cvename.cgi?name="),
    ("secunia", "http://www.secunia.com/advisories/"),
    ("arachnids", "http://www.whitehats.com/info/IDS"),
    ("mcafee", "http://vil.nai.com/vil/content/v_"),
    ("nessus", "http://cgi.nessus.org/plugins/dump.php3?id="),
    ("url", "http://"),
    ("et", "http://doc.emergingthreats.net/"),
    ("etpro", "http://doc.emergingthreatspro.com/"),
    ("telus", "http://"),
    ("osvdb", "http://osvdb.org/show/osvdb/"),
    ("threatexpert", "http://www.threatexpert.com/report.aspx?md5="),
    ("md5", "http://www.threatexpert.com/report.aspx?md5="),
    ("exploitdb", "http://www.exploit-db.com/exploits/"),
    ("openpacket", "https://www.openpacket.org/capture/grab/"),
    ("securitytracker", "http://securitytracker.com/id?"),
    ("xforce", "http://xforce.iss.net/xforce/xfdb/"),
    ("msft", "http://technet.microsoft.com/security/bulletin/"),
];

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn classes_have_a_description_and_a_priority() {
        let file = b"# none\n\nconfig classification: Mine,Bad, or worse,1\n\
            config classification:other , Other ,  4\nconfig classification: mine,Twice,2\n";
        let mut classes = Classes::none();
        assert_eq!(classes.add(file), []);
        let of = |name: &str| {
            let class = classes.get(name).unwrap_or(classes.unknown());
            (&*class.description, class.priority)
        };
        assert_eq!(of("MINE"), ("Bad, or worse", 1));
        assert_eq!(of("other"), ("Other", 4));
        assert_eq!(of("trojan-activity"), ("Unknown Classtype", 3));
        assert!(classes.get("nope").is_none());
        assert_eq!(
            &*Classes::usual().get("Trojan-Activity").unwrap().description,
            "A Network Trojan was detected"
        );
    }

    #[test]
    fn references_have_an_address() {
        let mut references = References::none();
        assert_eq!(references.add(b"config reference: cve https://x/\nconfig reference: URL\thttp://\n"), []);
        assert_eq!(references.address("CVE", "2020-1").unwrap(), "https://x/2020-1");
        assert_eq!(references.address("url", "example.com/a").unwrap(), "http://example.com/a");
        assert_eq!(references.address("url", "https://example.com/a").unwrap(), "https://example.com/a");
        assert_eq!(references.address("osvdb", "1"), None);
        assert!(References::usual().address("osvdb", "1").is_some());
    }

    #[test]
    fn every_line_that_cannot_be_read_is_told() {
        let file = b"config classification: a,b\nnope\nconfig classification: a,b,x\nconfig reference: a b\nconfig classification: ,b,1\n";
        let told: Vec<_> = Classes::none().add(file).iter().map(|fault| (fault.line, fault.column)).collect();
        assert_eq!(told, [(1, 24), (2, 1), (3, 28), (4, 1), (5, 24)]);
        assert_eq!(References::none().add(b"config reference: url\nreference: a b").len(), 2);
    }
}
