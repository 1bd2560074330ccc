//! Which policies can match these facts at all? One row of policies for each value of each field, ANDed by [`Rows`].
//!
//! A field that no policy asks for costs nothing. The index answers exactly for every field in [`Index::decides`]
//! whose fact is known or absent; for a pending fact it leaves the field out, so that its answer is never too small.

use super::compile::Head;
use super::condition::{Condition, Test};
use super::facts::{Fact, Facts, User};
use super::names::NameId;
use super::order::{self, VACANT};
use super::prefixes::{Entry, Prefixes};
use super::rows::{NONE, Picks, Rows};
use crate::parse::{Addr, Mac};
use crate::prefix::cut;
use std::collections::HashMap;

/// Values of all fields together, ranges cut into prefixes: bounds the memory of a set (32 bytes each while
/// compiling).
const ENTRIES_MAX: usize = 8_000_000;
/// Values up to here are looked up by position, beyond by hash.
const DIRECT_MAX: u64 = 4_096;

#[derive(Debug)]
pub(super) struct Index {
    rows: Rows,
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
}

/// Rows by single values.
#[derive(Debug)]
struct Values {
    direct: Vec<u32>,
    hashed: HashMap<u64, u32, foldhash::fast::FixedState>,
}

/// Layer 4 and layer 7 names are one field: a policy may give both and either will do.
#[derive(Debug)]
struct Protocols {
    l4: Values,
    l7: Values,
    /// Policies with a layer 7 name.
    any_l7: u32,
}

/// A field's values by slot, while compiling.
#[derive(Default)]
struct Gather {
    entries: Vec<Entry>,
    /// IPv6 entries of an address field and layer 7 entries of `protocol`.
    second: Vec<Entry>,
}

impl Gather {
    fn single(&mut self, slot: u32, value: u64) {
        self.entries.push((u128::from(value), u128::from(value), slot));
    }

    fn range(&mut self, slot: u32, first: u128, last: u128) {
        cut(first, last, |first, last| self.entries.push((first, last, slot)));
    }
}

/// Fields of the index, in the order in which they are ANDed: what tells most policies apart comes first.
#[derive(Debug, Clone, Copy)]
pub(super) enum Dimension {
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

pub(super) const DIMENSIONS: usize = 17;

/// The dimensions that a policy asks for; bit 0 is the first.
pub(super) type Shape = u32;

pub(super) const fn dimension(test: &Test) -> Option<Dimension> {
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
        let answered = |head: &Head| &conditions[head.first as usize..head.residual as usize];
        let ranks = order::arrange(heads.iter().map(answered));
        let mut shapes: Vec<Shape> = vec![0; heads.len()];
        let mut gather: [Gather; DIMENSIONS] = Default::default();
        let mut entries = 0;
        for (slot, rank) in (0..).zip(&ranks).filter(|(_, rank)| **rank != VACANT) {
            for condition in answered(&heads[*rank as usize]) {
                let Some(dimension) = dimension(&condition.test) else { continue };
                shapes[*rank as usize] |= 1 << dimension as u32;
                let gather = &mut gather[dimension as usize];
                let before = gather.entries.len() + gather.second.len();
                collect(&condition.test, slot, gather);
                entries += gather.entries.len() + gather.second.len() - before;
            }
            if entries > ENTRIES_MAX {
                return Err(format!(
                    "more than {ENTRIES_MAX} values (ranges count once for each prefix that they are made of)"
                ));
            }
        }

        let asked = shapes.iter().fold(0, |asked, shape| asked | shape);
        let mut rows = Rows::new(ranks, &shapes);
        let mut take = |dimension: Dimension| {
            (asked >> dimension as u32 & 1 == 1).then(|| std::mem::take(&mut gather[dimension as usize]))
        };
        let mut index = Self {
            rows: Rows::default(),
            src_ip: take(Dimension::SrcIp).map(|gathered| addresses(&mut rows, gathered)),
            dst_ip: take(Dimension::DstIp).map(|gathered| addresses(&mut rows, gathered)),
            dst_port: take(Dimension::DstPort).map(|gathered| spans(&mut rows, gathered)),
            src_port: take(Dimension::SrcPort).map(|gathered| spans(&mut rows, gathered)),
            application: take(Dimension::Application).map(|gathered| values(&mut rows, gathered.entries)),
            user_id: take(Dimension::UserId).map(|gathered| values(&mut rows, gathered.entries)),
            groups: take(Dimension::Groups).map(|gathered| values(&mut rows, gathered.entries)),
            user_role: take(Dimension::UserRole).map(|gathered| values(&mut rows, gathered.entries)),
            dst_user_id: take(Dimension::DstUserId).map(|gathered| values(&mut rows, gathered.entries)),
            dst_user_role: take(Dimension::DstUserRole).map(|gathered| values(&mut rows, gathered.entries)),
            category: take(Dimension::Category).map(|gathered| values(&mut rows, gathered.entries)),
            src_mac: take(Dimension::SrcMac).map(|gathered| values(&mut rows, gathered.entries)),
            country: take(Dimension::Country).map(|gathered| values(&mut rows, gathered.entries)),
            vlan: take(Dimension::Vlan).map(|gathered| spans(&mut rows, gathered)),
            protocol: take(Dimension::Protocol).map(|gathered| protocols(&mut rows, gathered)),
            zone: take(Dimension::Zone).map(|gathered| values(&mut rows, gathered.entries)),
            in_port: take(Dimension::InPort).map(|gathered| values(&mut rows, gathered.entries)),
        };
        index.rows = rows;
        Ok(index)
    }

    /// Calls `visit` with the rank of every policy that may match `facts`: see [`Rows::walk`] for the order and
    /// for what `visit` returns.
    #[inline]
    pub(super) fn walk(&self, facts: &Facts<'_>, picks: &mut Picks, visit: impl FnMut(u32) -> u32) {
        use Dimension as D;
        picks.clear();
        self.addresses(picks, D::SrcIp, self.src_ip.as_ref(), facts.src_ip);
        self.addresses(picks, D::DstIp, self.dst_ip.as_ref(), facts.dst_ip);
        self.spans(picks, D::DstPort, self.dst_port.as_ref(), facts.dst_port);
        self.spans(picks, D::SrcPort, self.src_port.as_ref(), facts.src_port);
        self.values(picks, D::Application, self.application.as_ref(), facts.application.map(number));
        self.values(picks, D::UserId, self.user_id.as_ref(), facts.user.map(|user| number(user.id)));
        self.groups(picks, facts.user);
        self.values(picks, D::UserRole, self.user_role.as_ref(), role(facts.user));
        let dst_user_id = facts.dst_user.map(|user| number(user.id));
        self.values(picks, D::DstUserId, self.dst_user_id.as_ref(), dst_user_id);
        self.values(picks, D::DstUserRole, self.dst_user_role.as_ref(), role(facts.dst_user));
        self.values(picks, D::Category, self.category.as_ref(), facts.category.map(number));
        self.values(picks, D::SrcMac, self.src_mac.as_ref(), facts.src_mac.map(mac_number));
        self.values(picks, D::Country, self.country.as_ref(), facts.country.map(number));
        self.spans(picks, D::Vlan, self.vlan.as_ref(), facts.vlan);
        self.protocols(picks, facts);
        self.values(picks, D::Zone, self.zone.as_ref(), facts.zone.map(u64::from));
        self.values(picks, D::InPort, self.in_port.as_ref(), facts.in_port.map(u64::from));
        self.rows.walk(picks, visit);
    }

    #[inline]
    fn addresses(
        &self,
        picks: &mut Picks,
        dimension: Dimension,
        index: Option<&Addresses>,
        fact: Fact<Addr>,
    ) {
        let Some(index) = index else { return };
        let row = match fact {
            Fact::Known(addr) => match addr.as_v4() {
                Some(bytes) => index.v4.row(u32::from_be_bytes(bytes)),
                None => index.v6.row(addr.bits()),
            },
            Fact::Absent => NONE,
            Fact::Pending => return,
        };
        self.rows.pick(picks, row);
        picks.close(dimension);
    }

    #[inline]
    fn spans(&self, picks: &mut Picks, dimension: Dimension, index: Option<&Prefixes<u32>>, fact: Fact<u16>) {
        let Some(index) = index else { return };
        let row = match fact {
            Fact::Known(value) => index.row(u32::from(value)),
            Fact::Absent => NONE,
            Fact::Pending => return,
        };
        self.rows.pick(picks, row);
        picks.close(dimension);
    }

    #[inline]
    fn values(&self, picks: &mut Picks, dimension: Dimension, index: Option<&Values>, fact: Fact<u64>) {
        let Some(index) = index else { return };
        let row = match fact {
            Fact::Known(value) => index.row(value),
            Fact::Absent => NONE,
            Fact::Pending => return,
        };
        self.rows.pick(picks, row);
        picks.close(dimension);
    }

    fn groups(&self, picks: &mut Picks, user: Fact<&User>) {
        let Some(index) = &self.groups else { return };
        match user {
            Fact::Known(user) => {
                for group in &user.groups {
                    self.rows.pick_once(picks, index.row(number(*group)));
                }
            }
            Fact::Absent => {}
            Fact::Pending => return,
        }
        picks.close(Dimension::Groups);
    }

    #[inline]
    fn protocols(&self, picks: &mut Picks, facts: &Facts<'_>) {
        let Some(index) = &self.protocol else { return };
        match facts.l4_protocol {
            Fact::Known(value) => self.rows.pick(picks, index.l4.row(u64::from(value))),
            Fact::Absent => {}
            Fact::Pending => return,
        }
        match facts.l7_protocol {
            Fact::Known(id) => self.rows.pick(picks, index.l7.row(number(id))),
            Fact::Absent => {}
            Fact::Pending => self.rows.pick(picks, index.any_l7),
        }
        picks.close(Dimension::Protocol);
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
            self.direct.get(value as usize).copied().unwrap_or(NONE)
        } else {
            self.hashed.get(&value).copied().unwrap_or(NONE)
        }
    }
}

fn collect(test: &Test, slot: u32, gather: &mut Gather) {
    match test {
        Test::SrcIp(set) | Test::DstIp(set) => {
            for (low, high) in &set.v4 {
                gather.range(slot, u128::from(*low), u128::from(*high));
            }
            for (low, high) in &set.v6 {
                cut(*low, *high, |low, high| gather.second.push((low, high, slot)));
            }
        }
        Test::SrcPort(spans) | Test::DstPort(spans) | Test::Vlan(spans) => {
            for (low, high) in spans {
                gather.range(slot, u128::from(*low), u128::from(*high));
            }
        }
        Test::Protocol { l4, l7 } => {
            l4.iter().for_each(|value| gather.single(slot, u64::from(value)));
            gather.second.extend(l7.iter().map(|id| (u128::from(id.0), u128::from(id.0), slot)));
        }
        Test::Zone(set) | Test::InPort(set) => {
            set.iter().for_each(|value| gather.single(slot, u64::from(value)));
        }
        Test::SrcMac(macs) => macs.iter().for_each(|mac| gather.single(slot, mac_number(*mac))),
        Test::Application(set)
        | Test::Category(set)
        | Test::UserId(set)
        | Test::UserRole(set)
        | Test::Groups(set)
        | Test::DstUserId(set)
        | Test::DstUserRole(set)
        | Test::Country(set) => set.iter().for_each(|id| gather.single(slot, number(*id))),
        Test::MinConfidence(_) | Test::Attribute { .. } | Test::Schedule(_) => {}
    }
}

fn addresses(rows: &mut Rows, gather: Gather) -> Addresses {
    Addresses { v4: Prefixes::build(rows, gather.entries), v6: Prefixes::build(rows, gather.second) }
}

fn spans(rows: &mut Rows, gather: Gather) -> Prefixes<u32> {
    Prefixes::build(rows, gather.entries)
}

fn values(rows: &mut Rows, mut entries: Vec<Entry>) -> Values {
    entries.sort_unstable();
    let mut values = Values { direct: Vec::new(), hashed: HashMap::default() };
    let mut slots = Vec::new();
    for group in entries.chunk_by(|a, b| a.0 == b.0) {
        slots.clear();
        slots.extend(group.iter().map(|entry| entry.2));
        slots.dedup();
        let row = rows.push(&slots, NONE);
        let value = group[0].0 as u64;
        if value < DIRECT_MAX {
            values.direct.resize(value as usize + 1, NONE);
            values.direct[value as usize] = row;
        } else {
            values.hashed.insert(value, row);
        }
    }
    values
}

fn protocols(rows: &mut Rows, gather: Gather) -> Protocols {
    let mut with_l7: Vec<u32> = gather.second.iter().map(|entry| entry.2).collect();
    with_l7.sort_unstable();
    with_l7.dedup();
    let any_l7 = if with_l7.is_empty() { NONE } else { rows.push(&with_l7, NONE) };
    Protocols { l4: values(rows, gather.entries), l7: values(rows, gather.second), any_l7 }
}

pub(super) fn number(id: NameId) -> u64 {
    u64::from(id.0)
}

pub(super) fn mac_number(mac: Mac) -> u64 {
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
