//! Which policies can match these facts at all? One row of policies for each value of each field, ANDed by [`Rows`].
//!
//! A field that no policy asks for costs nothing. The index answers exactly for every field in [`Index::decides`]
//! whose fact is known or absent; for a pending fact it leaves the field out, so that its answer is never too small.

use super::compile::Head;
use super::condition::{Condition, Test};
use super::facts::{Fact, Facts, User};
use super::names::NameId;
use super::prefixes::{Entry, Prefixes, Source, cut};
use super::rows::{NONE, Picks, Rows};
use crate::parse::{Addr, Mac};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Values of all fields together, ranges cut into prefixes: bounds the memory of a set (32 bytes each while
/// compiling).
const ENTRIES_MAX: usize = 8_000_000;
/// Values up to here are looked up by position, beyond by hash.
const DIRECT_MAX: u64 = 4_096;

#[derive(Debug)]
pub(super) struct Index {
    total: u32,
    rows: Rows,
    // In the order in which they are ANDed: what tells most policies apart comes first.
    src_ip: Option<Addresses>,
    dst_ip: Option<Addresses>,
    dst_port: Option<Prefixes<u32>>,
    src_port: Option<Prefixes<u32>>,
    application: Option<Values>,
    user_id: Option<Values>,
    groups: Option<Values>,
    user_role: Option<Values>,
    dst_user_id: Option<Values>,
    dst_user_role: Option<Values>,
    category: Option<Values>,
    src_mac: Option<Values>,
    country: Option<Values>,
    vlan: Option<Prefixes<u32>>,
    protocol: Option<Protocols>,
    zone: Option<Values>,
    in_port: Option<Values>,
}

#[derive(Debug)]
struct Addresses {
    v4: Prefixes<u32>,
    v6: Prefixes<u128>,
    absent: u32,
}

/// Rows by single values.
#[derive(Debug)]
struct Values {
    direct: Vec<u32>,
    hashed: HashMap<u64, u32, foldhash::fast::FixedState>,
    /// For every other value.
    other: u32,
}

/// Layer 4 and layer 7 names are one field: a policy may give both and either will do.
#[derive(Debug)]
struct Protocols {
    l4: Values,
    l7: Values,
    /// Policies with a layer 7 name.
    any_l7: u32,
}

/// A field's values by policy, while compiling.
#[derive(Default)]
struct Gather {
    /// Policies that do not ask for it.
    wild: Vec<u32>,
    entries: Vec<Entry>,
    asked: bool,
}

impl Gather {
    fn single(&mut self, rank: u32, value: u64) {
        self.entries.push((u128::from(value), u128::from(value), rank));
    }

    fn range(&mut self, rank: u32, first: u128, last: u128) {
        cut(first, last, |first, last| self.entries.push((first, last, rank)));
    }
}

/// Fields of the index, to gather them by.
#[derive(Clone, Copy)]
enum Dimension {
    SrcIp,
    DstIp,
    DstPort,
    SrcPort,
    Application,
    UserId,
    Groups,
    UserRole,
    DstUserId,
    DstUserRole,
    Category,
    SrcMac,
    Country,
    Vlan,
    Protocol,
    Zone,
    InPort,
}

const DIMENSIONS: usize = 17;

/// Where IPv6 entries of an address field and layer 7 entries of `protocol` are gathered.
#[derive(Default)]
struct Second {
    entries: Vec<Entry>,
}

const fn dimension(test: &Test) -> Option<Dimension> {
    match test {
        Test::Zone(_) => Some(Dimension::Zone),
        Test::InPort(_) => Some(Dimension::InPort),
        Test::Vlan(_) => Some(Dimension::Vlan),
        Test::SrcMac(_) => Some(Dimension::SrcMac),
        Test::SrcIp(_) => Some(Dimension::SrcIp),
        Test::DstIp(_) => Some(Dimension::DstIp),
        Test::SrcPort(_) => Some(Dimension::SrcPort),
        Test::DstPort(_) => Some(Dimension::DstPort),
        Test::Protocol { .. } => Some(Dimension::Protocol),
        Test::Application(_) => Some(Dimension::Application),
        Test::Category(_) => Some(Dimension::Category),
        Test::UserId(_) => Some(Dimension::UserId),
        Test::UserRole(_) => Some(Dimension::UserRole),
        Test::Groups(_) => Some(Dimension::Groups),
        Test::DstUserId(_) => Some(Dimension::DstUserId),
        Test::DstUserRole(_) => Some(Dimension::DstUserRole),
        Test::Country(_) => Some(Dimension::Country),
        Test::MinConfidence(_) | Test::Attribute { .. } | Test::Schedule(_) => None,
    }
}

impl Index {
    /// Whether the index alone answers this condition.
    pub(super) const fn decides(condition: &Condition) -> bool {
        !condition.negated && dimension(&condition.test).is_some()
    }

    /// # Errors
    ///
    /// Where the values of all policies are more than [`ENTRIES_MAX`].
    pub(super) fn build(heads: &[Head], conditions: &[Condition]) -> Result<Self, String> {
        let mut gather: [Gather; DIMENSIONS] = Default::default();
        let mut second: [Second; DIMENSIONS] = Default::default();
        let mut entries = 0;
        for (rank, head) in heads.iter().enumerate() {
            let rank = rank as u32;
            let mut asked = 0_u32;
            for condition in &conditions[head.first as usize..head.residual as usize] {
                let Some(dimension) = dimension(&condition.test) else { continue };
                let dimension = dimension as usize;
                asked |= 1 << dimension;
                let (first, second) = (&mut gather[dimension], &mut second[dimension]);
                let before = first.entries.len() + second.entries.len();
                collect(&condition.test, rank, first, second);
                entries += first.entries.len() + second.entries.len() - before;
            }
            for (dimension, gather) in gather.iter_mut().enumerate() {
                if asked >> dimension & 1 == 0 {
                    gather.wild.push(rank);
                } else {
                    gather.asked = true;
                }
            }
            if entries > ENTRIES_MAX {
                return Err(format!(
                    "more than {ENTRIES_MAX} values (ranges count once for each prefix that they are made of)"
                ));
            }
        }

        let mut rows = Rows::default();
        let mut take = |dimension: Dimension| {
            let gather = std::mem::take(&mut gather[dimension as usize]);
            let second = std::mem::take(&mut second[dimension as usize]);
            gather.asked.then_some((gather, second.entries))
        };
        let mut index = Self {
            total: heads.len() as u32,
            rows: Rows::default(),
            src_ip: take(Dimension::SrcIp).map(|gathered| addresses(&mut rows, gathered)),
            dst_ip: take(Dimension::DstIp).map(|gathered| addresses(&mut rows, gathered)),
            dst_port: take(Dimension::DstPort).map(|gathered| spans(&mut rows, gathered.0)),
            src_port: take(Dimension::SrcPort).map(|gathered| spans(&mut rows, gathered.0)),
            application: take(Dimension::Application).map(|gathered| values(&mut rows, gathered.0)),
            user_id: take(Dimension::UserId).map(|gathered| values(&mut rows, gathered.0)),
            groups: take(Dimension::Groups).map(|gathered| values(&mut rows, gathered.0)),
            user_role: take(Dimension::UserRole).map(|gathered| values(&mut rows, gathered.0)),
            dst_user_id: take(Dimension::DstUserId).map(|gathered| values(&mut rows, gathered.0)),
            dst_user_role: take(Dimension::DstUserRole).map(|gathered| values(&mut rows, gathered.0)),
            category: take(Dimension::Category).map(|gathered| values(&mut rows, gathered.0)),
            src_mac: take(Dimension::SrcMac).map(|gathered| values(&mut rows, gathered.0)),
            country: take(Dimension::Country).map(|gathered| values(&mut rows, gathered.0)),
            vlan: take(Dimension::Vlan).map(|gathered| spans(&mut rows, gathered.0)),
            protocol: take(Dimension::Protocol).map(|gathered| protocols(&mut rows, gathered)),
            zone: take(Dimension::Zone).map(|gathered| values(&mut rows, gathered.0)),
            in_port: take(Dimension::InPort).map(|gathered| values(&mut rows, gathered.0)),
        };
        index.rows = rows;
        Ok(index)
    }

    /// Calls `visit` with every policy that may match `facts`, in evaluation order.
    #[inline]
    pub(super) fn walk(
        &self,
        facts: &Facts<'_>,
        picks: &mut Picks,
        visit: impl FnMut(u32) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        picks.clear();
        self.addresses(picks, self.src_ip.as_ref(), facts.src_ip);
        self.addresses(picks, self.dst_ip.as_ref(), facts.dst_ip);
        self.spans(picks, self.dst_port.as_ref(), facts.dst_port);
        self.spans(picks, self.src_port.as_ref(), facts.src_port);
        self.values(picks, self.application.as_ref(), facts.application.map(number));
        self.values(picks, self.user_id.as_ref(), facts.user.map(|user| number(user.id)));
        self.groups(picks, facts.user);
        self.values(picks, self.user_role.as_ref(), role(facts.user));
        self.values(picks, self.dst_user_id.as_ref(), facts.dst_user.map(|user| number(user.id)));
        self.values(picks, self.dst_user_role.as_ref(), role(facts.dst_user));
        self.values(picks, self.category.as_ref(), facts.category.map(number));
        self.values(picks, self.src_mac.as_ref(), facts.src_mac.map(mac_number));
        self.values(picks, self.country.as_ref(), facts.country.map(number));
        self.spans(picks, self.vlan.as_ref(), facts.vlan);
        self.protocols(picks, facts);
        self.values(picks, self.zone.as_ref(), facts.zone.map(u64::from));
        self.values(picks, self.in_port.as_ref(), facts.in_port.map(u64::from));
        self.rows.walk(self.total, picks, visit)
    }

    #[inline]
    fn addresses(&self, picks: &mut Picks, index: Option<&Addresses>, fact: Fact<Addr>) {
        let Some(index) = index else { return };
        let row = match fact {
            Fact::Known(addr) => match addr.as_v4() {
                Some(bytes) => index.v4.row(u32::from_be_bytes(bytes)),
                None => index.v6.row(addr.bits()),
            },
            Fact::Absent => index.absent,
            Fact::Pending => return,
        };
        self.rows.pick(picks, row);
        picks.close_dimension();
    }

    #[inline]
    fn spans(&self, picks: &mut Picks, index: Option<&Prefixes<u32>>, fact: Fact<u16>) {
        let Some(index) = index else { return };
        let row = match fact {
            Fact::Known(value) => index.row(u32::from(value)),
            // No span reaches beyond 16 bits: only policies that do not ask are there.
            Fact::Absent => index.row(u32::MAX),
            Fact::Pending => return,
        };
        self.rows.pick(picks, row);
        picks.close_dimension();
    }

    #[inline]
    fn values(&self, picks: &mut Picks, index: Option<&Values>, fact: Fact<u64>) {
        let Some(index) = index else { return };
        let row = match fact {
            Fact::Known(value) => index.row(value),
            Fact::Absent => index.other,
            Fact::Pending => return,
        };
        self.rows.pick(picks, row);
        picks.close_dimension();
    }

    fn groups(&self, picks: &mut Picks, user: Fact<&User>) {
        let Some(index) = &self.groups else { return };
        match user {
            Fact::Known(user) => {
                self.rows.pick_once(picks, index.other);
                for group in &user.groups {
                    self.rows.pick_once(picks, index.row(number(*group)));
                }
            }
            Fact::Absent => self.rows.pick(picks, index.other),
            Fact::Pending => return,
        }
        picks.close_dimension();
    }

    #[inline]
    fn protocols(&self, picks: &mut Picks, facts: &Facts<'_>) {
        let Some(index) = &self.protocol else { return };
        match facts.l4_protocol {
            Fact::Known(value) => self.rows.pick(picks, index.l4.row(u64::from(value))),
            Fact::Absent => self.rows.pick(picks, index.l4.other),
            Fact::Pending => return,
        }
        match facts.l7_protocol {
            Fact::Known(id) => self.rows.pick(picks, index.l7.row(number(id))),
            Fact::Absent => {}
            Fact::Pending => self.rows.pick(picks, index.any_l7),
        }
        picks.close_dimension();
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let addresses = [&self.src_ip, &self.dst_ip].into_iter().flatten();
        let spans = [&self.dst_port, &self.src_port, &self.vlan].into_iter().flatten();
        self.rows.memory_bytes()
            + addresses.map(|index| index.v4.memory_bytes() + index.v6.memory_bytes()).sum::<usize>()
            + spans.map(Prefixes::memory_bytes).sum::<usize>()
    }
}

impl Values {
    #[inline]
    fn row(&self, value: u64) -> u32 {
        if value < DIRECT_MAX {
            self.direct.get(value as usize).copied().unwrap_or(self.other)
        } else {
            self.hashed.get(&value).copied().unwrap_or(self.other)
        }
    }
}

fn collect(test: &Test, rank: u32, first: &mut Gather, second: &mut Second) {
    match test {
        Test::SrcIp(set) | Test::DstIp(set) => {
            for (low, high) in &set.v4 {
                first.range(rank, u128::from(*low), u128::from(*high));
            }
            for (low, high) in &set.v6 {
                cut(*low, *high, |low, high| second.entries.push((low, high, rank)));
            }
        }
        Test::SrcPort(spans) | Test::DstPort(spans) | Test::Vlan(spans) => {
            for (low, high) in spans {
                first.range(rank, u128::from(*low), u128::from(*high));
            }
        }
        Test::Protocol { l4, l7 } => {
            l4.iter().for_each(|value| first.single(rank, u64::from(value)));
            second.entries.extend(l7.iter().map(|id| (u128::from(id.0), u128::from(id.0), rank)));
        }
        Test::Zone(set) | Test::InPort(set) => {
            set.iter().for_each(|value| first.single(rank, u64::from(value)))
        }
        Test::SrcMac(macs) => macs.iter().for_each(|mac| first.single(rank, mac_number(*mac))),
        Test::Application(set)
        | Test::Category(set)
        | Test::UserId(set)
        | Test::UserRole(set)
        | Test::Groups(set)
        | Test::DstUserId(set)
        | Test::DstUserRole(set)
        | Test::Country(set) => set.iter().for_each(|id| first.single(rank, number(*id))),
        Test::MinConfidence(_) | Test::Attribute { .. } | Test::Schedule(_) => {}
    }
}

fn addresses(rows: &mut Rows, (mut gather, mut v6): (Gather, Vec<Entry>)) -> Addresses {
    let root = Source::root(rows, gather.wild);
    Addresses {
        v4: Prefixes::build(rows, &mut gather.entries, &root),
        v6: Prefixes::build(rows, &mut v6, &root),
        absent: root.row,
    }
}

fn spans(rows: &mut Rows, mut gather: Gather) -> Prefixes<u32> {
    let root = Source::root(rows, gather.wild);
    Prefixes::build(rows, &mut gather.entries, &root)
}

fn values(rows: &mut Rows, gather: Gather) -> Values {
    let root = Source::root(rows, gather.wild);
    values_in(rows, gather.entries, &root)
}

fn values_in(rows: &mut Rows, mut entries: Vec<Entry>, root: &Source) -> Values {
    entries.sort_unstable();
    let mut values = Values { direct: Vec::new(), hashed: HashMap::default(), other: root.row };
    let mut ranks = Vec::new();
    for group in entries.chunk_by(|a, b| a.0 == b.0) {
        ranks.clear();
        ranks.extend(group.iter().map(|entry| entry.2));
        ranks.dedup();
        let row = root.inside(rows, &ranks).row;
        let value = group[0].0 as u64;
        if value < DIRECT_MAX {
            values.direct.resize(value as usize + 1, root.row);
            values.direct[value as usize] = row;
        } else {
            values.hashed.insert(value, row);
        }
    }
    values
}

fn protocols(rows: &mut Rows, (gather, l7): (Gather, Vec<Entry>)) -> Protocols {
    let mut with_l7: Vec<u32> = l7.iter().map(|entry| entry.2).collect();
    with_l7.sort_unstable();
    with_l7.dedup();
    let any_l7 = if with_l7.is_empty() { NONE } else { rows.push(&with_l7, NONE) };
    // Policies that do not ask are in the rows of layer 4 already.
    let nothing = Source { ranks: Vec::new(), next: NONE, row: NONE };
    Protocols { l4: values(rows, gather), l7: values_in(rows, l7, &nothing), any_l7 }
}

fn number(id: NameId) -> u64 {
    u64::from(id.0)
}

fn mac_number(mac: Mac) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

fn role(user: Fact<&User>) -> Fact<u64> {
    match user {
        Fact::Known(user) => user.role.map(number).into(),
        Fact::Absent => Fact::Absent,
        Fact::Pending => Fact::Pending,
    }
}
