//! What holds in which bytes: places, going back, numbers, bounds.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use super::*;
use crate::rules::language::{RuleText, Variables, read};

fn rule(body: &str) -> Rule {
    let text = format!("alert tcp any any -> any any ({body} sid:1;)");
    read(&RuleText::of(text.as_bytes()), &mut Variables::usual())
        .unwrap_or_else(|fault| panic!("{body}: {fault}"))
}

/// The tests of its first part.
fn matcher(rule: &Rule) -> Matcher {
    let (datasets, addresses) = Default::default();
    let sources = Sources { datasets: &datasets, addresses: &addresses, directory: Path::new("") };
    Matcher::new(&rule.parts[0], &sources).unwrap()
}

fn tried(body: &str, bytes: &[u8]) -> (bool, Scratch) {
    let rule = rule(body);
    let mut scratch = Scratch::of(&rule);
    let matcher = matcher(&rule);
    (matcher.matches(bytes, &mut scratch), scratch)
}

fn holds(body: &str, bytes: &[u8]) -> bool {
    tried(body, bytes).0
}

/// Each body, bytes in which it holds, and bytes in which it does not.
fn all(cases: &[(&str, &[&str], &[&str])]) {
    for (body, right, wrong) in cases {
        for bytes in *right {
            assert!(holds(body, bytes.as_bytes()), "{body} in {bytes:?}");
        }
        for bytes in *wrong {
            assert!(!holds(body, bytes.as_bytes()), "{body} not in {bytes:?}");
        }
    }
}

#[test]
fn patterns_have_their_places() {
    all(&[
        (r#"content:"abc";"#, &["abc", "xxabcxx"], &["ab", "", "ABC"]),
        (r#"content:"aBc"; nocase;"#, &["ABC", "xabcx", "aaabc"], &["ab"]),
        (r#"content:"abc"; offset:2;"#, &["xxabc", "abcabc"], &["abc", "xabc"]),
        (r#"content:"abc"; depth:4;"#, &["abc", "xabc"], &["xxabc"]),
        (r#"content:"abc"; offset:1; depth:4;"#, &["xabc", "xxabc"], &["abcxx", "xxxabc"]),
        (r#"content:"abc"; startswith;"#, &["abcx"], &["xabc"]),
        (r#"content:"abc"; endswith;"#, &["abc", "xabc", "abcabc"], &["abcx"]),
        (r#"content:"abc"; startswith; endswith;"#, &["abc"], &["abcabc", "abcx"]),
        (r#"content:"abc"; endswith; depth:5;"#, &["xxabc"], &["xxxabc"]),
        (r#"content:!"abc";"#, &["ab", ""], &["xabc"]),
        (r#"content:!"abc"; offset:9;"#, &["abc", ""], &["xxxxxxxxxabc"]),
        (r#"content:!"abc"; endswith;"#, &["abcx"], &["xabc"]),
    ]);
}

#[test]
fn relative_patterns_begin_where_the_one_before_ended() {
    all(&[
        (r#"content:"a"; content:"b"; distance:0;"#, &["ab", "a..b"], &["ba", "b"]),
        (r#"content:"a"; content:"b"; distance:2;"#, &["a..b", "a...b"], &["ab", "a.b"]),
        (r#"content:"a"; content:"b"; within:1;"#, &["ab", "a.ab"], &["a.b"]),
        (r#"content:"a"; content:"b"; distance:1; within:2;"#, &["a.b", "a..b"], &["ab", "a...b"]),
        (r#"content:"abc"; content:"bcd"; distance:-2;"#, &["abcd"], &["abc"]),
        (r#"content:"a"; content:!"b"; within:3;"#, &["a...b", "a"], &["a..b"]),
        (r#"content:"a"; content:"b"; content:"c"; distance:0;"#, &["bca", "abc"], &["acb"]),
        // The first `a` leads nowhere, the second one does.
        (r#"content:"a"; content:"b"; within:1; content:"c"; within:1;"#, &["ab.abc"], &["ab.ab.c"]),
    ]);
}

#[test]
fn expressions_are_perls() {
    all(&[
        (r#"pcre:"/^a(?!b)/";"#, &["ac"], &["ab", "xac"]),
        (r#"pcre:"/(.)\1/";"#, &["xaa"], &["abab"]),
        (r#"pcre:"/a.b/s"; "#, &["a\nb"], &["ab"]),
        (r#"pcre:"/a.b/";"#, &["a.b"], &["a\nb"]),
        (r#"pcre:"/ABC/i";"#, &["abc"], &["ab"]),
        (r#"pcre:!"/abc/";"#, &["ab"], &["abc"]),
        (r#"content:"x"; pcre:"/^\d+$/R";"#, &["x12", "1x1x3"], &["x1a", "12"]),
        (r#"pcre:"/a+/"; content:"b"; within:1;"#, &["a.aab"], &["aa.b"]),
        (r#"pcre:"/b/A";"#, &["bc"], &["ab"]),
        (r#"pcre:"/^.\xff/";"#, &[], &["ab"]),
    ]);
    assert!(holds(r#"pcre:"/^.\xff\x00/";"#, b"a\xff\x00"), "bytes are no UTF-8");
}

#[test]
fn numbers_are_read_as_they_lie() {
    let bytes = b"\x01\x02\x03\x04\xff";
    for (test, is_right) in [
        ("1,=,1,0", true),
        ("2,=,0x0102,0", true),
        ("2,=,0x0201,0,little", true),
        ("4,>,0x01020303,0", true),
        ("1,=,0xff,4", true),
        ("1,!=,0xff,4", false),
        ("1,&,0x80,4", true),
        ("1,!&,0x80,0", true),
        ("1,=,0x0f,4,bitmask 0xf0", true),
        ("2,=,1,4", false),
        ("2,!=,1,4", false),
        ("1,=,1,-1", false),
    ] {
        assert_eq!(holds(&format!("byte_test:{test};"), bytes), is_right, "{test}");
    }
    all(&[
        (r#"content:"n="; byte_test:4,=,1234,0,relative,string,dec;"#, &["n=1234"], &["n=1235", "n=123"]),
        (
            r#"content:"n="; byte_test:6,=,0x1f,0,relative,string,hex;"#,
            &["n=0x1f  ", "n=   1fz"],
            &["n=0x20  ", "n=zzzzzz"],
        ),
    ]);
}

#[test]
fn numbers_lead_on_and_are_kept() {
    assert!(holds(r#"byte_jump:1,0; content:"x"; within:1;"#, b"\x02..x"));
    assert!(!holds(r#"byte_jump:1,0; content:"x"; within:1;"#, b"\x09..x"));
    assert!(holds(r#"byte_jump:1,0,from_end,post_offset -4; content:"x"; within:1;"#, b"\x02..x."));
    assert!(holds(r#"byte_jump:1,0,multiplier 2,align; content:"x"; within:1;"#, b"\x01....x"));
    let (is_right, scratch) = tried(
        r#"content:"L"; byte_extract:1,0,len,relative; byte_math:bytes 1, offset 0, oper *, rvalue len, result area, relative; isdataat:area,relative;"#,
        b"L\x03\x02123456",
    );
    assert_eq!((is_right, scratch.variables), (true, vec![3, 6]));
    assert!(!holds(
        r#"content:"L"; byte_extract:1,0,len,relative; isdataat:len,relative; content:"x"; within:len;"#,
        b"L\x02..x"
    ));
    // What was kept of the first place is forgotten with it.
    assert!(holds(
        r#"content:"L"; byte_extract:1,0,n,relative; byte_test:1,=,n,0,relative;"#,
        b"L\x01\x02L\x05\x05"
    ));
    let (is_right, scratch) = tried(r#"content:"b:"; base64_decode:relative;"#, b"x b:aGVs bG8=!");
    assert_eq!((is_right, scratch.decoded.as_slice()), (true, &b"hello"[..]));
}

#[test]
fn there_is_so_much_data_or_not() {
    all(&[
        ("isdataat:2;", &["abc"], &["ab"]),
        ("isdataat:!2;", &["ab"], &["abc"]),
        (r#"content:"a"; isdataat:2,relative;"#, &["abc"], &["ab", "a"]),
        (r#"content:"a"; isdataat:!1,relative;"#, &["ba", "aba"], &["ab"]),
        (r#"http.uri; content:"a"; bsize:2;"#, &["ab"], &["a", "abc"]),
    ]);
}

#[test]
fn no_bytes_make_a_part_cost_more_than_its_steps() {
    let many = vec![b'a'; 100_000];
    let body = r#"content:"a"; content:"a"; distance:0; content:"a"; distance:0; content:"a"; distance:0; content:"b"; distance:0;"#;
    let rule = rule(body);
    let mut scratch = Scratch::of(&rule);
    let matcher = matcher(&rule);
    let mut run = Run { bytes: &many, at: 0, left: STEPS_MAX, is_over: false, scratch: &mut scratch };
    assert!(!run.holds(&matcher.steps));
    assert!(run.is_over && run.left == 0 && run.scratch.is_spent);
    assert!(
        !holds(r#"pcre:"/(a+)+$/"; content:"b"; distance:0;"#, &many),
        "nor an expression that goes back and back"
    );
}

mod any_bytes {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A pattern alone is found exactly where a search by hand finds it.
        #[test]
        fn a_pattern_is_where_it_is(
            bytes in proptest::collection::vec(b'a'..=b'c', 0..24),
            pattern in proptest::collection::vec(b'a'..=b'c', 1..4),
            offset in 0_usize..8,
            extra in 0_usize..8,
        ) {
            let text = String::from_utf8(pattern.clone()).unwrap();
            let depth = pattern.len() + extra;
            let body = format!(r#"content:"{text}"; offset:{offset}; depth:{depth};"#);
            let window = bytes.get(offset..(offset + depth).min(bytes.len())).unwrap_or_default();
            let is_there = window.windows(pattern.len()).any(|part| part == pattern);
            prop_assert_eq!(holds(&body, &bytes), is_there);
            let relative = format!(r#"content:"a"; content:"{text}"; distance:{offset}; within:{depth};"#);
            let is_there = (0..bytes.len()).filter(|at| bytes[*at] == b'a').any(|at| {
                let window = bytes.get(at + 1 + offset..(at + 1 + offset + depth).min(bytes.len()));
                window.unwrap_or_default().windows(pattern.len()).any(|part| part == pattern)
            });
            prop_assert_eq!(holds(&relative, &bytes), is_there);
        }

        #[test]
        fn nothing_panics(bytes: Vec<u8>, one in -70_000_i64..70_000, other in 0_i64..70_000) {
            for body in [
                format!(r#"content:"a"; byte_jump:4,{},relative,multiplier 65535,post_offset {};"#, one.clamp(-65_535, 65_535), one.clamp(-65_535, 65_535)),
                format!(r#"content:"a"; distance:{one}; within:{};"#, other.max(1)),
                format!("byte_extract:8,{},x,multiplier 65535,align 4; byte_math:bytes 8, offset 0, oper -, rvalue x, result y; byte_jump:x,y;", one.clamp(-65_535, 65_535)),
                format!("byte_math:bytes 4, offset 0, oper <<, rvalue {other}, result y, relative; isdataat:y,relative; base64_decode:offset {};", other.min(65_535)),
                "byte_test:23,>,1,0,string,dec; byte_jump:0,3,from_end;".to_owned(),
            ] {
                let _ = holds(&body, &bytes);
            }
        }
    }
}
