//! Which files do bodies of HTTP carry? A response's body is one, a request's of POST and PUT too, and each file of a form.
//!
//! As Suricata has it, a file is called what `Content-Disposition` says, else as the path of its target.

use super::form::{Form, Found};
use super::told;
use crate::dpi::file::CarriedFile;
use crate::dpi::protocols::mail::parameter;
use crate::dpi::{Context, Fields, Kept};
use crate::flow::Direction;
use crate::rules::language::buffers::SAME_IN_HTTP;

/// Bytes of a name that are kept of each body that is under way.
const NAME_BYTES_MAX: usize = 512;

/// The file that a body is, or the files in it.
#[derive(Debug)]
pub(super) struct Carried {
    of: (&'static str, u32),
    way: Direction,
    /// What it is called; what `Content-Disposition` says where it is a response.
    name: Kept,
    form: Option<Form>,
    file: Option<CarriedFile>,
}

impl Carried {
    /// Of a response to a request of `target`.
    pub(super) fn of_response(of: (&'static str, u32), target: &[u8], disposition: Option<&[u8]>) -> Self {
        let named =
            disposition.and_then(|value| parameter(value, "filename")).filter(|name| !name.is_empty());
        let name = named.map_or_else(|| path_of(target), |name| kept_name(&name));
        Self::new(of, Direction::Reverse, name, None)
    }

    /// Of a request; `None`: its method brings no files.
    pub(super) fn of_request(
        of: (&'static str, u32),
        (method, target): (&[u8], &[u8]),
        content_type: Option<&[u8]>,
    ) -> Option<Self> {
        let form = match method {
            b"POST" => content_type.and_then(Form::of),
            b"PUT" => None,
            _ => return None,
        };
        Some(Self::new(of, Direction::Forward, path_of(target), form))
    }

    const fn new(of: (&'static str, u32), way: Direction, name: Kept, form: Option<Form>) -> Self {
        Self { of, way, name, form, file: None }
    }

    /// The next bytes of the body, decoded; `around` is what EVE has of the message, beside its files.
    pub(super) fn data(&mut self, bytes: &[u8], around: &Fields, cx: &mut Context<'_>) {
        let Self { of, way, name, form, file } = self;
        let Some(form) = form else {
            if !bytes.is_empty() {
                let file = file.get_or_insert_with(|| begin(cx, *of, *way, &std::mem::take(name)));
                file.data(bytes, cx);
            }
            return;
        };
        form.data(bytes, &mut |found| match found {
            Found::Begins(name) => *file = Some(CarriedFile::begin(cx, *of, *way, name, None)),
            Found::Data(bytes) => file.iter_mut().for_each(|file| file.data(bytes, cx)),
            Found::Ends => {
                if let Some(file) = file.take() {
                    end(file, true, around, cx);
                }
            }
        });
    }

    /// Whether rules see the body itself with the file.
    pub(super) fn tells_body(&self) -> bool {
        self.form.is_none() && is_body(self.of, self.way)
    }

    /// Bytes are missing.
    pub(super) fn lose(&mut self, cx: &mut Context<'_>) {
        match &mut self.file {
            Some(file) => file.lose(),
            // The missing bytes are the first of it.
            None if self.form.is_none() => {
                let mut file = begin(cx, self.of, self.way, &self.name);
                file.lose();
                self.file = Some(file);
            }
            None => {}
        }
    }

    /// The body is over; whether all of it came.
    pub(super) fn end(mut self, is_whole: bool, around: &Fields, cx: &mut Context<'_>) {
        let Self { form, file, .. } = &mut self;
        let is_closed = form.as_mut().is_none_or(|form| {
            form.end(&mut |found| {
                if let (Found::Data(bytes), Some(file)) = (found, &mut *file) {
                    file.data(bytes, cx);
                }
            })
        });
        if let Some(file) = file.take() {
            end(file, is_whole && is_closed, around, cx);
        }
    }
}

/// A file that is all of a body begins.
fn begin(cx: &mut Context<'_>, of: (&'static str, u32), way: Direction, name: &[u8]) -> CarriedFile {
    let file = CarriedFile::begin(cx, of, way, name, None);
    // Kept once, searched once.
    let file = if is_body(of, way) { file.seen_in(&SAME_IN_HTTP) } else { file };
    // HTTP/2 has many streams.
    if of.0 == told::NAME { file } else { file.among_many() }
}

/// Whether the file is what rules call the body, too.
fn is_body(of: (&'static str, u32), way: Direction) -> bool {
    of.0 == told::NAME && way == Direction::Reverse
}

fn end(file: CarriedFile, is_whole: bool, around: &Fields, cx: &mut Context<'_>) {
    file.end(is_whole, cx, |fields, _name| fields.object("/http", |http| http.append(around)));
}

/// The path of a target, as a server reads it.
fn path_of(target: &[u8]) -> Kept {
    let mut path = Vec::new();
    told::normal_path(target, &mut path);
    kept_name(&path)
}

/// A name, or the end of a long one: there its kind is.
fn kept_name(name: &[u8]) -> Kept {
    Kept::of(name.get(name.len().saturating_sub(NAME_BYTES_MAX)..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::feed::samples::{alerts_of, records_of};
    use crate::dpi::protocols::web::http::HTTP;

    /// The `fileinfo` records of a request and its response, each in pieces of `step` bytes, up to what stands beside them.
    fn files(request: &[u8], response: &[u8], step: usize) -> Vec<String> {
        let pieces = |way, bytes: &'static [u8]| bytes.chunks(step).map(move |piece| (way, piece));
        let (request, response): (&'static [u8], &'static [u8]) =
            (request.to_vec().leak(), response.to_vec().leak());
        let payloads: Vec<_> =
            pieces(Direction::Forward, request).chain(pieces(Direction::Reverse, response)).collect();
        let told = records_of(&HTTP, &payloads).into_iter();
        let told = told.filter_map(|line| line.strip_prefix("fileinfo filename=").map(str::to_owned));
        told.map(|line| line.split(" stored=false").collect::<Vec<_>>().join("")).collect()
    }

    const GET: &[u8] = b"GET /a%62/./c.txt?x=1 HTTP/1.1\r\nHost: a.example\r\n\r\n";

    #[test]
    fn a_response_is_a_file_that_is_called_as_its_path_or_as_it_says() {
        let beside = "/app_proto=http /http={hostname=a.example url=/a%62/./c.txt?x=1 http_method=GET \
            protocol=HTTP/1.1";
        for step in [1, 9, 1_000] {
            let plain = files(GET, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", step);
            let expected =
                format!("/ab/c.txt gaps=false state=CLOSED size=5 tx_id=0 {beside} status=200 length=5}}");
            assert_eq!(plain, [expected], "in pieces of {step}");
            let named = files(
                GET,
                b"HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename=\"e.exe\"\r\n\
                    Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                step,
            );
            let expected =
                format!("e.exe gaps=false state=CLOSED size=5 tx_id=0 {beside} status=200 length=5}}");
            assert_eq!(named, [expected], "in pieces of {step}");
        }
    }

    #[test]
    fn a_file_that_does_not_come_whole_says_so_and_none_is_no_file() {
        let cut = files(GET, b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n0123456789abcdef", 1_000);
        assert!(cut.len() == 1 && cut[0].contains("state=TRUNCATED size=16"), "{cut:?}");
        let until_end = files(GET, b"HTTP/1.1 200 OK\r\n\r\n0123456789abcdef", 1_000);
        assert!(until_end.len() == 1 && until_end[0].contains("state=CLOSED size=16"), "{until_end:?}");
        assert!(files(GET, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 7).is_empty());
        let large =
            [&b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n"[..], &vec![b'x'; 300_000]].concat();
        let large = files(GET, &large, 1_400);
        assert!(large.len() == 1 && large[0].contains("state=CLOSED size=300000"), "{large:?}");
    }

    #[test]
    fn uploads_are_files_and_those_of_a_form_each_one() {
        let ok = b"HTTP/1.1 204 No Content\r\n\r\n";
        let put = b"PUT /up/x.bin HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        let form = b"POST /up HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\n\
            Content-Length: 170\r\n\r\n--b\r\nContent-Disposition: form-data; filename=one\r\n\r\n1\r\n--b\r\n\
            Content-Disposition: form-data; name=x\r\n\r\nx\r\n\
            --b\r\nContent-Disposition: form-data; filename=two\r\n\r\n22\r\n--b--\r\n";
        let names = |files: Vec<String>| -> Vec<String> {
            files.iter().map(|line| line.split(" tx_id").next().unwrap_or_default().to_owned()).collect()
        };
        for step in [1, 40, 1_000] {
            assert_eq!(names(files(put, ok, step)), ["/up/x.bin gaps=false state=CLOSED size=3"]);
            let told = names(files(form, ok, step));
            let expected = ["one gaps=false state=CLOSED size=1", "two gaps=false state=CLOSED size=2"];
            assert_eq!(told, expected, "in pieces of {step}");
        }
        let other = b"PATCH /up HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        assert!(files(other, ok, 1_000).is_empty());
    }

    #[test]
    fn rules_are_told_what_kind_of_file_it_is_once_enough_of_it_came() {
        let rules = &[
            "alert http any any -> any any (file.magic; content:\"PDF document, version 1.4\"; sid:1;)",
            "alert http any any -> any any (filemagic:\"pdf DOCUMENT\"; fileext:\"txt\"; sid:2;)",
            "alert http any any -> any any (file.magic; content:\"PDF\"; file.data; content:\"needle\"; sid:3;)",
            "alert http any any -> any any (filemagic:!\"PDF\"; sid:4;)",
            "alert http any any -> any any (filemagic:!\"GIF\"; filesize:>8000; sid:5;)",
        ];
        let mut body = b"%PDF-1.4\n".to_vec();
        body.resize(9_000, b' ');
        body.extend(b"needle");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let response = [head.as_bytes(), &body].concat();
        for step in [9, 1_000, 100_000] {
            let pieces = response.chunks(step).map(|piece| (Direction::Reverse, piece));
            let payloads: Vec<_> = std::iter::once((Direction::Forward, GET)).chain(pieces).collect();
            let mut sids = alerts_of(80, rules, &payloads);
            sids.sort_unstable();
            assert_eq!(sids, [1, 2, 3, 5], "in pieces of {step}");
        }
        let short =
            [(Direction::Forward, GET), (Direction::Reverse, &b"HTTP/1.1 200 OK\r\n\r\n%PDF-1.4\n"[..])];
        assert_eq!(alerts_of(80, rules, &short), [1, 2]);
    }

    #[test]
    fn rules_are_told_names_lengths_and_hashes_of_files_of_http() {
        let rules = &[
            "alert http any any -> any any (file.name; content:\"c.txt\"; file.data; content:\"hello\"; sid:1;)",
            "alert http any any -> any any (fileext:\"txt\"; filesize:5; sid:2;)",
            "alert http any any -> any any (flow:to_client; filesize:>5; sid:3;)",
            "alert http any any -> any any (flow:to_server; file.data; content:\"hello\"; sid:4;)",
        ];
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let mut sids = alerts_of(80, rules, &[(Direction::Forward, GET), (Direction::Reverse, response)]);
        sids.sort_unstable();
        assert_eq!(sids, [1, 2]);
    }
}
