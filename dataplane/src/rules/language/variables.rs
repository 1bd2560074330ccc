//! Names that rules use for addresses and ports, and what operators make them mean (`vars` in Suricata's configuration).

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::value::{Value, Wrong};
use crate::rules::ranges::{Bounded, RangeSet};

/// Variables within variables, lists within lists.
const DEPTH_MAX: u8 = 16;

/// Addresses, IPv4 and IPv6 apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addresses {
    /// IPv4 as numbers.
    pub v4: RangeSet<u32>,
    /// IPv6 as numbers.
    pub v6: RangeSet<u128>,
    /// Whether some are named by what they are not.
    pub is_negated: bool,
}

/// Address groups and port groups by name, without the `$`.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    addresses: BTreeMap<String, String>,
    ports: BTreeMap<String, String>,
    known_addresses: HashMap<Box<[u8]>, Addresses>,
    known_ports: HashMap<Box<[u8]>, RangeSet<u16>>,
}

impl Variables {
    /// Those that Suricata's configuration comes with.
    #[must_use]
    pub fn usual() -> Self {
        let mut variables = Self::default();
        let home = "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]";
        for (name, group) in [("HOME_NET", home), ("EXTERNAL_NET", "!$HOME_NET")] {
            variables.set_addresses(name, group);
        }
        for name in ["HTTP", "SMTP", "SQL", "DNS", "TELNET", "AIM", "DC"] {
            variables.set_addresses(&format!("{name}_SERVERS"), "$HOME_NET");
        }
        for name in
            ["DNP3_SERVER", "DNP3_CLIENT", "MODBUS_CLIENT", "MODBUS_SERVER", "ENIP_CLIENT", "ENIP_SERVER"]
        {
            variables.set_addresses(name, "$HOME_NET");
        }
        for (name, group) in [
            ("HTTP_PORTS", "80"),
            ("SHELLCODE_PORTS", "!80"),
            ("ORACLE_PORTS", "1521"),
            ("SSH_PORTS", "22"),
            ("DNP3_PORTS", "20000"),
            ("MODBUS_PORTS", "502"),
            ("FILE_DATA_PORTS", "[$HTTP_PORTS,110,143]"),
            ("FTP_PORTS", "21"),
            ("GENEVE_PORTS", "6081"),
            ("VXLAN_PORTS", "4789"),
            ("TEREDO_PORTS", "3544"),
            ("SIP_PORTS", "[5060, 5061]"),
        ] {
            variables.set_ports(name, group);
        }
        variables
    }

    /// Gives an address group a meaning.
    pub fn set_addresses(&mut self, name: &str, group: &str) {
        self.addresses.insert(name.to_owned(), group.to_owned());
        self.known_addresses.clear();
    }

    /// Gives a port group a meaning.
    pub fn set_ports(&mut self, name: &str, group: &str) {
        self.ports.insert(name.to_owned(), group.to_owned());
        self.known_ports.clear();
    }

    /// What is wrong with the groups themselves: name and why.
    pub fn faults(&mut self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        for (name, group) in self.addresses.clone() {
            let read = self.addresses(Value::new(group.as_bytes(), 0));
            faults.extend(read.err().map(|wrong| (name, wrong.detail)));
        }
        for (name, group) in self.ports.clone() {
            let read = self.ports(Value::new(group.as_bytes(), 0));
            faults.extend(read.err().map(|wrong| (name, wrong.detail)));
        }
        faults
    }

    /// The addresses of an expression: `any`, one, a network, a range, a list, a variable, each maybe after `!`.
    ///
    /// # Errors
    ///
    /// [`Wrong`] also where nothing is left.
    pub fn addresses(&mut self, text: Value<'_>) -> Result<Addresses, Wrong> {
        if let Some(known) = self.known_addresses.get(text.bytes()) {
            return Ok(known.clone());
        }
        let reader = Reader::new(&self.addresses, "address", one_address);
        let (v4, v6) = reader.whole(text)?;
        if v4.is_empty() && v6.is_empty() {
            return Err(text.wrong("no address is left of this group"));
        }
        let addresses = Addresses { v4, v6, is_negated: reader.has_negation.get() };
        self.known_addresses.insert(text.bytes().into(), addresses.clone());
        Ok(addresses)
    }

    /// The ports of an expression: `any`, one, a range `1:9`, a list, a variable, each maybe after `!`.
    ///
    /// # Errors
    ///
    /// [`Wrong`] also where nothing is left.
    pub fn ports(&mut self, text: Value<'_>) -> Result<RangeSet<u16>, Wrong> {
        if let Some(known) = self.known_ports.get(text.bytes()) {
            return Ok(known.clone());
        }
        let (ports, _none) = Reader::new(&self.ports, "port", one_port).whole(text)?;
        if ports.is_empty() {
            return Err(text.wrong("no port is left of this group"));
        }
        self.known_ports.insert(text.bytes().into(), ports.clone());
        Ok(ports)
    }
}

/// Two sets that are computed with alike: IPv4 and IPv6, or ports and nothing.
type Pair<A, B> = (RangeSet<A>, RangeSet<B>);

/// Reads groups of one kind.
struct Reader<'v, A, B> {
    named: &'v BTreeMap<String, String>,
    kind: &'static str,
    one: fn(Value<'_>) -> Result<Pair<A, B>, Wrong>,
    /// Whether a `!` was met so far.
    has_negation: Cell<bool>,
}

impl<'v, A: Bounded, B: Bounded> Reader<'v, A, B> {
    const fn new(
        named: &'v BTreeMap<String, String>,
        kind: &'static str,
        one: fn(Value<'_>) -> Result<Pair<A, B>, Wrong>,
    ) -> Self {
        Self { named, kind, one, has_negation: Cell::new(false) }
    }

    fn whole(&self, text: Value<'_>) -> Result<Pair<A, B>, Wrong> {
        self.group(text.trim(), DEPTH_MAX)
    }

    fn group(&self, text: Value<'_>, depth: u8) -> Result<Pair<A, B>, Wrong> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(text.wrong("lists and variables are too deep in each other, or name themselves"));
        };
        let (is_negated, inner) = text.negated();
        self.has_negation.set(self.has_negation.get() || is_negated);
        let (a, b) = if let [b'[', .., b']'] = inner.bytes() {
            self.list(inner.part(1, inner.bytes().len() - 1), depth)?
        } else if let Some(name) = inner.strip("$") {
            let name_text = name.name()?;
            let group = self.named.get(name_text);
            let group = group
                .ok_or_else(|| inner.wrong(format!("no {} group has the name {name_text}", self.kind)))?;
            // A fault in the group is told where its name stands.
            let read = self.group(Value::new(group.as_bytes(), 0).trim(), depth);
            read.map_err(|wrong| inner.wrong(format!("in {name_text}: {}", wrong.detail)))?
        } else if inner.is("any") {
            if is_negated {
                return Err(text.wrong("not any is none"));
            }
            (RangeSet::all(), RangeSet::all())
        } else {
            (self.one)(inner)?
        };
        Ok(if is_negated { (a.complement(), b.complement()) } else { (a, b) })
    }

    /// What is named, without what is named after `!`; where only such are, all others.
    fn list(&self, text: Value<'_>, depth: u8) -> Result<Pair<A, B>, Wrong> {
        let mut with: Option<Pair<A, B>> = None;
        let mut without: Pair<A, B> = Default::default();
        for piece in pieces(text)? {
            let (is_negated, inner) = piece.negated();
            if inner.is_empty() {
                return Err(piece.expected(&format!("an {} or a list", self.kind)));
            }
            let (a, b) = self.group(inner, depth)?;
            self.has_negation.set(self.has_negation.get() || is_negated);
            if is_negated {
                without = (without.0.or(&a), without.1.or(&b));
            } else {
                let (with_a, with_b) = with.unwrap_or_default();
                with = Some((with_a.or(&a), with_b.or(&b)));
            }
        }
        let (a, b) = with.unwrap_or_else(|| (RangeSet::all(), RangeSet::all()));
        Ok((a.without(&without.0), b.without(&without.1)))
    }
}

/// What stands between commas that are in no inner list.
pub(super) fn pieces(text: Value<'_>) -> Result<Vec<Value<'_>>, Wrong> {
    let (mut depth, mut from, mut found) = (0_u32, 0, Vec::new());
    for (index, byte) in text.bytes().iter().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => {
                depth = depth.checked_sub(1).ok_or_else(|| text.wrong("a `]` without its `[`"))?;
            }
            b',' if depth == 0 => {
                found.push(text.part(from, index).trim());
                from = index + 1;
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err(text.wrong("a `[` without its `]`"));
    }
    found.push(text.part(from, text.bytes().len()).trim());
    Ok(found)
}

fn one_address(text: Value<'_>) -> Result<Pair<u32, u128>, Wrong> {
    let wrong = || text.expected("an address, a network such as 10.0.0.0/8, or a range");
    let written = text.text()?;
    let v4 = |text: &str| text.parse::<Ipv4Addr>().map(u32::from).ok();
    let v6 = |text: &str| text.parse::<Ipv6Addr>().map(u128::from).ok();
    let (first, last) = match (written.split_once('/'), written.split_once('-')) {
        (Some((address, bits)), _) => {
            if let Some(address) = v4(address) {
                // As a number of bits, or as a mask.
                let bits = bits.parse::<u32>().ok().or_else(|| v4(bits).map(u32::leading_ones));
                let bits = bits.filter(|bits| *bits <= 32).ok_or_else(wrong)?;
                let host = u32::MAX.checked_shr(bits).unwrap_or(0);
                return Ok((RangeSet::of(vec![(address & !host, address | host)]), RangeSet::default()));
            }
            let address = v6(address).ok_or_else(wrong)?;
            let bits = bits.parse::<u32>().ok().filter(|bits| *bits <= 128).ok_or_else(wrong)?;
            let host = u128::MAX.checked_shr(bits).unwrap_or(0);
            return Ok((RangeSet::default(), RangeSet::of(vec![(address & !host, address | host)])));
        }
        (None, Some((first, last))) => (first.trim(), last.trim()),
        (None, None) => (written, written),
    };
    if let (Some(first), Some(last)) = (v4(first), v4(last)) {
        return if first <= last {
            Ok((RangeSet::of(vec![(first, last)]), RangeSet::default()))
        } else {
            Err(wrong())
        };
    }
    match (v6(first), v6(last)) {
        (Some(first), Some(last)) if first <= last => {
            Ok((RangeSet::default(), RangeSet::of(vec![(first, last)])))
        }
        _ => Err(wrong()),
    }
}

fn one_port(text: Value<'_>) -> Result<Pair<u16, u16>, Wrong> {
    let port = |value: Value<'_>, default| match value.is_empty() {
        true => Ok(default),
        false => value.number(0, u16::MAX.into()).map(|port| port as u16),
    };
    let (first, last) = match text.split_once(b':') {
        Some((first, last)) if !(first.is_empty() && last.is_empty()) => {
            (port(first, 0)?, port(last, u16::MAX)?)
        }
        Some(_) => return Err(text.expected("a port or a range of ports")),
        None if text.is_empty() => return Err(text.expected("a port or a range of ports")),
        None => (port(text, 0)?, port(text, 0)?),
    };
    if first > last {
        return Err(text.expected("a range whose first port is not above its last"));
    }
    Ok((RangeSet::of(vec![(first, last)]), RangeSet::default()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn ports(text: &str) -> Result<Vec<(u16, u16)>, String> {
        let read = Variables::usual().ports(Value::new(text.as_bytes(), 0));
        read.map(|ports| ports.ranges().to_vec()).map_err(|wrong| wrong.detail)
    }

    fn has(text: &str, address: &str) -> bool {
        let addresses = Variables::usual().addresses(Value::new(text.as_bytes(), 0)).unwrap();
        match address.parse::<std::net::IpAddr>().unwrap() {
            std::net::IpAddr::V4(address) => addresses.v4.contains(address.into()),
            std::net::IpAddr::V6(address) => addresses.v6.contains(address.into()),
        }
    }

    #[test]
    fn ports_are_sets() {
        assert_eq!(ports("any").unwrap(), [(0, 65_535)]);
        assert_eq!(ports("[80,!8080, 1024:]").unwrap(), [(80, 80), (1_024, 8_079), (8_081, 65_535)]);
        assert_eq!(ports("![1:5,[7,9]]").unwrap(), [(0, 0), (6, 6), (8, 8), (10, 65_535)]);
        assert_eq!(ports("$FILE_DATA_PORTS").unwrap(), [(80, 80), (110, 110), (143, 143)]);
        assert_eq!(ports("$SHELLCODE_PORTS").unwrap(), [(0, 79), (81, 65_535)]);
        for wrong in ["", "65536", "9:1", ":", "[80", "80]", "$NOBODY", "!any", "[80,]", "a", "[80,!80]"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_sets_with_negation_and_nesting() {
        assert!(has("$HOME_NET", "10.1.2.3") && !has("$HOME_NET", "11.0.0.0"));
        assert!(!has("$EXTERNAL_NET", "10.1.2.3") && has("$EXTERNAL_NET", "2001:db8::1"));
        assert!(has("[10.0.0.0/8,![10.1.0.0/16,!10.1.1.0/24]]", "10.1.1.9"));
        assert!(!has("[10.0.0.0/8,![10.1.0.0/16,!10.1.1.0/24]]", "10.1.2.9"));
        assert!(has("1.2.3.4-1.2.4.0", "1.2.3.200") && has("fe80::/10", "fe80::1"));
        assert!(has("10.0.0.0/255.0.0.0", "10.9.9.9") && has("0.0.0.0/0", "255.255.255.255"));
    }

    #[test]
    fn a_variable_that_names_itself_is_refused_with_its_name() {
        let mut variables = Variables::usual();
        variables.set_addresses("HOME_NET", "[$EXTERNAL_NET]");
        let faults = variables.faults();
        assert!(faults.iter().any(|(name, detail)| name == "HOME_NET" && detail.contains("name themselves")));
        assert!(Variables::usual().faults().is_empty());
    }
}
