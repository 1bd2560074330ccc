use super::*;

/// What is found, as lines.
fn found(message: &str) -> Vec<String> {
    let mut reader = Message::default();
    let mut all = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut tell = |found: Found<'_>| match found {
        Found::Header(name, value) => all.push(format!("{}={}", text(name), text(value))),
        Found::Body => all.push("body".into()),
        Found::FileBegins(name) => all.push(format!("<{}>", text(name))),
        // The pieces of a file are one.
        Found::File(bytes) => match all.last_mut() {
            Some(last) if last.starts_with('<') => last.push_str(&text(bytes)),
            _ => {}
        },
        Found::FileEnds => all.push("end".into()),
        Found::Text(bytes) => all.push(format!("text {}", text(bytes))),
        Found::Wrong(event) => all.push(format!("!{event}")),
    };
    for line in message.lines() {
        reader.line(line.as_bytes(), b"\r\n", &mut tell);
    }
    reader.end(&mut tell);
    all
}

#[test]
fn files_of_nested_parts_are_told_with_their_names() {
    let message = "From: a@example.org\nContent-Type: multipart/mixed;\n boundary=\"out er\"\n\nno part\n--out er\n\
        Content-Type: multipart/alternative; boundary=in\n\n--in\nContent-Type: text/plain\n\nhello\n--in--\nx\n\
        --out er  \nContent-Type: application/zip; name=other.zip\nContent-Transfer-Encoding: base64\n\
        Content-Disposition: attachment; filename*0=a; filename*1=.zip\n\nNA=\n=Mg\n==\n\n--out er--\nnothing\n";
    let expected = [
        "From=a@example.org",
        "Content-Type=multipart/mixed; boundary=\"out er\"",
        "body",
        "text hello",
        "<a.zip>42",
        "end",
    ];
    assert_eq!(found(message), expected);
}

#[test]
fn the_end_of_a_line_before_a_boundary_is_none_of_the_file() {
    let message = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: attachment; filename=f\n\n\
        one\n\ntwo\n--bb\n--b\nContent-Type: text/html; name=g\nContent-Transfer-Encoding: quoted-printable\n\n\
        a=\nb\n--b--";
    let told = found(message);
    assert_eq!(told[2..], ["<f>one\r\n\r\ntwo\r\n--bb", "end", "<g>ab", "end"]);
}

#[test]
fn a_message_within_has_headers_of_its_own() {
    let message = "Subject: one\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n\
        Subject: two\nContent-Disposition: attachment; filename=in\n\nx\n--b--";
    assert_eq!(found(message)[3..], ["<in>x", "end"]);
    assert!(!found(message).contains(&"Subject=two".into()));
}

#[test]
fn a_message_may_be_one_file_and_end_anywhere() {
    let message =
        "Content-Type: application/pdf; name=\"a.pdf\"\nContent-Transfer-Encoding: base64\n\nYWJj\nZA";
    assert_eq!(found(message)[3..], ["<a.pdf>abc", "!mime_invalid_base64", "end"]);
    assert_eq!(found("Subject: x"), ["Subject=x"]);
    for len in 0..message.len() {
        let _told = found(&message[..len]);
    }
}

#[test]
fn what_is_wrong_is_told_once() {
    let long = "x".repeat(1_200);
    for (message, event) in [
        (format!("{}: a\n\n", "n".repeat(80)), "!mime_long_header_name"),
        (format!("Subject: a\n {long}\n {long}\n\n"), "!mime_long_header_value"),
        (format!("Subject: a\n\n{long}\n{long}\n"), "!mime_long_line"),
        (format!("Content-Type: multipart/x; boundary={}\n\n", "b".repeat(300)), "!mime_long_boundary"),
        (format!("Content-Type: a/b; name={}\n\nx", "b".repeat(300)), "!mime_long_filename"),
        (
            format!("Content-Transfer-Encoding: quoted-printable\n\n{}\n", "b".repeat(77)),
            "!mime_long_enc_line",
        ),
        ("Content-Type: a/b; name=x; name=y\n\n".into(), "!duplicate_fields"),
        ("no header\n\n".into(), "!mime_malformed_msg"),
    ] {
        let told = found(&message);
        assert_eq!(told.iter().filter(|told| **told == event).count(), 1, "{event} in {told:?}");
    }
}

#[test]
fn parts_within_parts_without_end_are_bounded() {
    let mut message = String::from("Content-Type: multipart/mixed; boundary=b0\n\n");
    for depth in 1..200 {
        let inner = format!("--b{}\nContent-Type: multipart/mixed; boundary=b{depth}\n\n", depth - 1);
        message.push_str(&inner);
    }
    message.push_str("--b3\nContent-Disposition: attachment; filename=f\n\nx\n");
    assert_eq!(found(&message)[2..], ["<f>x", "end"]);
    let nested = "Content-Type: message/rfc822\n\n".repeat(500);
    assert!(found(&nested).len() < 10);
}

#[test]
fn pieces_of_lines_are_no_boundaries_and_no_headers() {
    let mut reader = Message::default();
    let mut bytes = Vec::new();
    let mut tell = |found: Found<'_>| {
        if let Found::File(piece) = found {
            bytes.extend_from_slice(piece);
        }
    };
    for (line, ending) in [
        (&b"Content-Type: multipart/mixed; bound"[..], &b""[..]),
        (b"ary=b", b"\n"),
        (b"", b"\n"),
        (b"--b", b"\n"),
        (b"Content-Disposition: attachment; filename=f", b"\n"),
        (b"", b"\n"),
        (b"one", b""),
        (b"--b", b""),
        (b"", b"\n"),
        (b"two", b"\n"),
    ] {
        reader.line(line, if ending.is_empty() { b"" } else { b"\n" }, &mut tell);
    }
    reader.lose();
    reader.line(b"--b", b"\n", &mut tell);
    reader.end(&mut tell);
    assert_eq!(bytes, b"one--b\ntwo\n--b");
}
