//! Which names look as if they were made by a machine, or carry data instead of naming something?
//!
//! Rules of thumb on one name at a time; what needs several names to be believed is counted by whoever asks.

use std::sync::LazyLock;

/// Longer than names of services are.
const LONG_NAME_BYTES: usize = 100;

/// Bytes in front of the registered domain that are enough for a look at their entropy.
const CARRIED_BYTES_MIN: usize = 24;

/// From here on that many bytes cannot be words.
const CARRIED_BYTES_MANY: usize = 52;

/// What stands out in a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Oddities {
    pub(super) is_long: bool,
    pub(super) is_generated: bool,
    /// The labels in front of the domain are as random as encoded data.
    pub(super) is_random: bool,
    /// They are so many bytes besides that they may well carry data.
    pub(super) carries_data: bool,
}

/// Looks at a name with dots between its labels.
pub(super) fn look(name: &[u8]) -> Oddities {
    let mut odd = Oddities { is_long: name.len() > LONG_NAME_BYTES, ..Oddities::default() };
    // Reverse names and those of service discovery are long by design.
    if name.ends_with(b".arpa") || name.ends_with(b".local") || name.starts_with(b"_") {
        odd.is_long = false;
        return odd;
    }
    let Some(top) = name.iter().rposition(|byte| *byte == b'.') else { return odd };
    let registered = name[..top].iter().rposition(|byte| *byte == b'.').map_or(0, |dot| dot + 1);
    odd.is_generated = looks_generated(&name[registered..top]);
    let carried = name.get(..registered.saturating_sub(1)).unwrap_or_default();
    if carried.len() >= CARRIED_BYTES_MIN {
        let entropy = entropy(carried);
        // Several short words in a row have as many different letters; one long label of them has not.
        let longest = carried.split(|byte| *byte == b'.').map(<[u8]>::len).max().unwrap_or(0);
        odd.is_random = longest >= CARRIED_BYTES_MIN && carried.len() >= 32 && entropy > 4.2;
        odd.carries_data = carried.len() >= CARRIED_BYTES_MANY && entropy > 3.6 && is_encoded(carried);
    }
    odd
}

/// Shannon entropy in bits a byte.
pub(in crate::dpi) fn entropy(bytes: &[u8]) -> f32 {
    // With n_i of n bytes alike it is log2 n - (sum of n_i log2 n_i) / n, and each byte adds a step to that sum.
    let mut counts = [0_u16; 256];
    let mut sum = 0.0;
    for byte in bytes {
        let count = &mut counts[usize::from(*byte)];
        sum += STEPS.get(usize::from(*count)).copied().unwrap_or_else(|| step(*count));
        *count = count.saturating_add(1);
    }
    let total = bytes.len().max(1) as f32;
    total.log2() - sum / total
}

/// Steps of counts that names have.
static STEPS: LazyLock<[f32; 64]> = LazyLock::new(|| std::array::from_fn(|count| step(count as u16)));

/// What n log2 n grows by from `count` to the next.
fn step(count: u16) -> f32 {
    let of = |count: f32| if count == 0.0 { 0.0 } else { count * count.log2() };
    of(f32::from(count) + 1.0) - of(f32::from(count))
}

/// Digits or capitals scattered among letters, and hardly a hyphen: base 16, 32 or 64.
fn is_encoded(bytes: &[u8]) -> bool {
    let count = |is: fn(&u8) -> bool| bytes.iter().filter(|byte| is(byte)).count();
    let scattered = count(u8::is_ascii_digit) + count(u8::is_ascii_uppercase);
    scattered * 8 >= bytes.len() && count(|byte| *byte == b'-') * 12 <= bytes.len()
}

/// Followers that a letter has in words, as bits from `a` up; other pairs are rare in names that people choose.
const FOLLOWERS: [u32; 26] = {
    let usual: [&[u8]; 26] = [
        b"bcdefgiklmnpqrstuvwxyz",
        b"abceijlorstuy",
        b"acehiklorstuy",
        b"adegijlmnoprstuvwy",
        b"abcdefghijklmnopqrstuvwxyz",
        b"aefilorstu",
        b"aeghilmnorstuy",
        b"aeimnorstuy",
        b"abcdefgklmnopqrstvxz",
        b"aeiou",
        b"aehilnosuy",
        b"abcdefgiklmoprstuvy",
        b"abcefimnopsuy",
        b"abcdefgijklmnorstuvxyz",
        b"abcdefghijklmnopqrstuvwxyz",
        b"aefhilmnoprstuy",
        b"u",
        b"abcdefgiklmnoprstuvwy",
        b"acdefhiklmnopqrstuwy",
        b"aceghilmnorstuvwyz",
        b"abcdefgiklmnoprstvxyz",
        b"aeioruy",
        b"aehiknorsty",
        b"aceiopty",
        b"abcdeilmnoprstuz",
        b"aeiloyz",
    ];
    let mut bits = [0; 26];
    let mut letter = 0;
    while letter < 26 {
        let mut at = 0;
        while at < usual[letter].len() {
            bits[letter] |= 1 << (usual[letter][at] - b'a');
            at += 1;
        }
        letter += 1;
    }
    bits
};

/// Whether a domain's own label looks as if an algorithm had chosen its letters.
fn looks_generated(label: &[u8]) -> bool {
    if label.len() < 10 || label.starts_with(b"xn--") || label.contains(&b'-') || label.contains(&b'_') {
        return false;
    }
    let mut rare = 0_usize;
    let mut turns = 0_usize;
    let mut letters = 0_usize;
    let mut vowels = 0_usize;
    for pair in label.windows(2) {
        let [one, two] = [pair[0].to_ascii_lowercase(), pair[1].to_ascii_lowercase()];
        if one.is_ascii_digit() != two.is_ascii_digit() {
            turns += 1;
        } else if one.is_ascii_lowercase() && two.is_ascii_lowercase() {
            rare += usize::from(FOLLOWERS[usize::from(one - b'a')] >> (two - b'a') & 1 == 0);
        }
    }
    for byte in label.iter().map(u8::to_ascii_lowercase).filter(u8::is_ascii_lowercase) {
        letters += 1;
        vowels += usize::from(matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u' | b'y'));
    }
    let few_vowels = vowels * 4 < letters;
    (rare * 4 >= label.len() && (rare >= 4 || few_vowels)) || turns >= 6 || (few_vowels && rare >= 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_people_choose_are_not_odd() {
        for name in [
            "www.wikipedia.org",
            "googleusercontent.com",
            "fonts.googleapis.com",
            "www.microsoft.com",
            "lb._dns-sd._udp.0.1.168.192.in-addr.arpa",
            "stackoverflow.com",
            "login.microsoftonline.com",
            "d1ql8x9vwd8ceq.cloudfront.net",
            "ec2-52-1-2-3.compute-1.amazonaws.com",
            "localhost",
            "txtpadding_3230.n1.netalyzr.measure.example.edu",
            "",
        ] {
            assert_eq!(look(name.as_bytes()), Oddities::default(), "{name}");
        }
    }

    #[test]
    fn made_names_are() {
        assert!(look(b"xjqpvkzwmbtdg.com").is_generated);
        assert!(look(b"kwtoestnessbiophysicalohax.q7x2k9m4b1z8.com").is_generated);
        let tunnel = b"0ahq82hbaqyqad5m8ipxvqnm1kqnz9xvtrz3gk2l.w4c7ub5rjd0fkl2h8e6qya.t.example.com";
        let odd = look(tunnel);
        assert!(odd.carries_data && odd.is_random, "{odd:?}");
        assert!(look(&[b'a'; 120]).is_long);
    }
}
