//! What must hold of messages to plants: Modbus, CIP, DNP3. Each keyword asks for several numbers of one transaction.

use super::draft::Draft;
use super::fields;
use super::numbers;
use super::value::{Value, Wrong};
use crate::rules::number::NumberTest;
use crate::rules::rule::{Chosen, Condition};

/// Kinds of functions (Modbus Application Protocol 1.1b3, 5): assigned, unassigned, both, of users, reserved, any.
const CATEGORIES: &[(&str, u64)] = &[
    ("assigned", PUBLIC_ASSIGNED),
    ("unassigned", PUBLIC_UNASSIGNED),
    ("public", PUBLIC_ASSIGNED | PUBLIC_UNASSIGNED),
    ("user", USER_DEFINED),
    ("reserved", RESERVED),
    ("all", PUBLIC_ASSIGNED | PUBLIC_UNASSIGNED | USER_DEFINED | RESERVED),
];

/// Bits of `modbus.category`.
pub const PUBLIC_ASSIGNED: u64 = 1;
/// See [`PUBLIC_ASSIGNED`].
pub const PUBLIC_UNASSIGNED: u64 = 2;
/// See [`PUBLIC_ASSIGNED`].
pub const USER_DEFINED: u64 = 4;
/// See [`PUBLIC_ASSIGNED`].
pub const RESERVED: u64 = 8;

/// Bits of `modbus.access`.
pub const READ: u64 = 1;
/// See [`READ`].
pub const WRITE: u64 = 2;
/// See [`READ`].
pub const DISCRETES: u64 = 4;
/// See [`READ`].
pub const COILS: u64 = 8;
/// See [`READ`].
pub const INPUT: u64 = 16;
/// See [`READ`].
pub const HOLDING: u64 = 32;

const TABLES: &[(&str, u64)] =
    &[("discretes", DISCRETES), ("coils", COILS), ("input", INPUT), ("holding", HOLDING)];

/// `modbus: [unit N,] function N[, subfunction N]`, `function [!]category`, or
/// `access read|write [table][, address test][, value test]`.
pub(super) fn modbus(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (mut address, mut written) = (None, None);
    let mut is_access = false;
    for piece in value.split(b',') {
        let (word, said) = piece.split_once(b' ').ok_or_else(|| piece.expected("a word and its value"))?;
        match () {
            () if word.is("unit") => ask(draft, "modbus.unit", numbers::test(said, 255, &[])?)?,
            () if word.is("function") => function(draft, said)?,
            () if word.is("subfunction") => {
                ask(draft, "modbus.subfunction", numbers::test(said, 65_535, &[])?)?
            }
            () if word.is("access") => {
                is_access = true;
                access(draft, said)?;
            }
            // They count from 1.
            () if word.is("address") && is_access => address = Some(numbers::test(said, 65_536, &[])?),
            () if word.is("value") && address.is_some() => written = Some(numbers::test(said, 65_535, &[])?),
            () => {
                return Err(word.expected(
                    "unit, function, subfunction or access, address behind access, value behind address",
                ));
            }
        }
    }
    match (address, written) {
        (Some(address), Some(written)) => {
            draft.condition(Condition::Pair(fields::named("modbus.written"), address, written))
        }
        (Some(address), None) => draft.condition(Condition::Span(fields::named("modbus.address"), address)),
        (None, _) => Ok(()),
    }
}

fn ask(draft: &mut Draft<'_>, field: &str, test: NumberTest) -> Result<(), Wrong> {
    draft.condition(Condition::Transaction(fields::named(field), test, Chosen::default()))
}

fn function(draft: &mut Draft<'_>, said: Value<'_>) -> Result<(), Wrong> {
    let (is_negated, name) = said.negated();
    if let Some((_name, bits)) = CATEGORIES.iter().find(|(known, _)| name.is(known)) {
        let test = if is_negated { NumberTest::Masked(*bits, 0) } else { NumberTest::NotMasked(*bits, 0) };
        return ask(draft, "modbus.category", test);
    }
    let test = numbers::test(said, 255, &[]).map_err(|_| {
        said.expected("a function's number, or assigned, unassigned, public, user, reserved or all")
    })?;
    ask(draft, "modbus.function", test)
}

fn access(draft: &mut Draft<'_>, said: Value<'_>) -> Result<(), Wrong> {
    let mut words = said.words();
    let kind = words.next().unwrap_or(said);
    let mut bits = match () {
        () if kind.is("read") => READ,
        () if kind.is("write") => WRITE,
        () => return Err(kind.expected("read or write")),
    };
    if let Some(table) = words.next() {
        let found = TABLES.iter().find(|(name, _)| table.is(name));
        let (_name, bit) = found.ok_or_else(|| table.expected("discretes, coils, input or holding"))?;
        if bits == WRITE && matches!(*bit, DISCRETES | INPUT) {
            return Err(table.wrong("nobody writes there: discretes and input are read only"));
        }
        bits |= bit;
    }
    if let Some(more) = words.next() {
        return Err(more.expected("nothing, or a comma"));
    }
    ask(draft, "modbus.access", NumberTest::Masked(bits, bits))
}

/// Where service, class and attribute stand in `cip_service`'s number; of the latter two 0 says that there is none.
const CIP_BITS: [u32; 3] = [56, 28, 0];

/// Bits of class and attribute.
const CIP_PART_MAX: u64 = (1 << 28) - 2;

/// Service, class and attribute of a CIP request as one number, for the keyword `cip_service`.
#[must_use]
pub const fn cip_number(service: u8, class: Option<u32>, attribute: Option<u32>) -> u64 {
    (service as u64) << CIP_BITS[0] | cip_part(class) << CIP_BITS[1] | cip_part(attribute) << CIP_BITS[2]
}

const fn cip_part(part: Option<u32>) -> u64 {
    match part {
        Some(number) if (number as u64) <= CIP_PART_MAX => number as u64 + 1,
        Some(_) => CIP_PART_MAX + 1,
        None => 0,
    }
}

/// `cip_service:service[,class[,attribute]]`.
pub(super) fn cip_service(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let numbers: Vec<_> = value.split(b',').collect();
    let of = |piece: &Value<'_>, max: u64| piece.unsigned(max).map(|number| number as u32);
    let part = CIP_PART_MAX + 1;
    let (mask, bits) = match &numbers[..] {
        [service] => (0xff << CIP_BITS[0], cip_number(of(service, 127)? as u8, None, None)),
        [service, class] => (
            0xff << CIP_BITS[0] | part << CIP_BITS[1],
            cip_number(of(service, 127)? as u8, Some(of(class, 65_535)?), None),
        ),
        [service, class, attribute] => (
            u64::MAX,
            cip_number(of(service, 127)? as u8, Some(of(class, 65_535)?), Some(of(attribute, 65_535)?)),
        ),
        _ => {
            return Err(
                value.expected("a service, maybe a class, and maybe an attribute, with commas between")
            );
        }
    };
    ask(draft, "cip.service", NumberTest::Masked(mask, bits))
}

/// An object of DNP3 as one number, for the keyword `dnp3_obj`.
#[must_use]
pub const fn dnp3_object(group: u8, variation: u8) -> u64 {
    (group as u64) << 8 | variation as u64
}

/// `dnp3_obj:group,variation`.
pub(super) fn dnp3_obj(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (group, variation) = value
        .split_once(b',')
        .ok_or_else(|| value.expected("a group and a variation with a comma between"))?;
    let (group, variation) = (group.number(0, 255)? as u8, variation.number(0, 255)? as u8);
    ask(draft, "dnp3.object", NumberTest::Equal(dnp3_object(group, variation)))
}

/// Names of DNP3's internal indications (IEEE 1815-2012 4.2.2.6), the first octet high.
const DNP3_INDICATIONS: &[(&str, u16)] = &[
    ("all_stations", 0x0100),
    ("class_1_events", 0x0200),
    ("class_2_events", 0x0400),
    ("class_3_events", 0x0800),
    ("need_time", 0x1000),
    ("local_control", 0x2000),
    ("device_trouble", 0x4000),
    ("device_restart", 0x8000),
    ("no_func_code_support", 0x0001),
    ("object_unknown", 0x0002),
    ("parameter_error", 0x0004),
    ("event_buffer_overflow", 0x0008),
    ("already_executing", 0x0010),
    ("config_corrupt", 0x0020),
    ("reserved_2", 0x0040),
    ("reserved_1", 0x0080),
];

/// `dnp3_ind:name,name`: one of them is set.
pub(super) fn dnp3_ind(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let mut bits = 0;
    for piece in value.split(b',') {
        bits |= match DNP3_INDICATIONS.iter().find(|(name, _bit)| piece.is(name)) {
            Some((_name, bit)) => *bit,
            None => piece.unsigned(65_535)? as u16,
        };
    }
    ask(draft, "dnp3.indications", NumberTest::NotMasked(bits.into(), 0))
}
