use alloc::{format, string::String, vec::Vec};

use super::{
    Body, CHUNK_EXTRA_LEN_MAX, ChunkState, Chunks, HEAD_LEN_MAX, Method, Refusal, Request,
    Status::{self, BadRequest, HeaderFieldsTooLarge, NotImplemented, VersionNotSupported},
    decimal, parse,
};

fn request(head: &str) -> Request {
    let (request, len) = parse(head.as_bytes()).expect("valid").expect("complete");
    assert_eq!(len, head.len());
    request
}

/// The status of a refused head.
fn status(head: &[u8]) -> Status {
    parse(head).expect_err("refused").status
}

/// A POST with more fields.
fn post(fields: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

#[test]
fn a_head_is_complete_or_goes_on() {
    let head = b"GET /bytes/5?x#y HTTP/1.1\r\nHost: x\r\n\r\n";
    for len in 0..head.len() {
        assert_eq!(parse(&head[..len]), Ok(None), "{len} bytes");
    }
    let mut more = head.to_vec();
    more.extend(b"GET /");
    let (request, len) = parse(&more).unwrap().unwrap();
    assert_eq!((request.method, request.path.as_str(), len), (Method::Get, "/bytes/5", head.len()));
    assert_eq!(request.body, Body::Length(0));
    assert!(request.keep_alive && !request.expects_continue);
}

#[test]
fn lines_and_targets_may_be_lax() {
    for (head, path) in [
        ("\r\n\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", "/a"),
        ("GET /a HTTP/1.1\nHost: x\n\n", "/a"),
        ("GET http://x/a?b HTTP/1.1\r\nHost: x\r\n\r\n", "/a"),
        ("GET HTTP://x HTTP/1.1\r\nHost: x\r\n\r\n", "/"),
        ("GET http://x?b HTTP/1.1\r\nHost: x\r\n\r\n", "/"),
        ("OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", "*"),
        ("GET /a HTTP/1.0\r\n\r\n", "/a"),
    ] {
        assert_eq!(request(head).path, path, "{head:?}");
    }
}

#[test]
fn what_is_not_a_request_is_refused() {
    for (head, expected) in [
        ("this is not HTTP\r\n\r\n", BadRequest),
        ("GET / HTTP/2\r\n", BadRequest),
        ("\0\0\0", BadRequest),
        ("GET x HTTP/1.1\r\nHost: x\r\n\r\n", BadRequest),
        ("GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", BadRequest),
        ("GET / HTTP/1.1\r\n\r\n", BadRequest),
        ("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", BadRequest),
        ("GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n", BadRequest),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", BadRequest),
        ("GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", BadRequest),
        ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", BadRequest),
        ("get / HTTP/1.1\r\nHost: x\r\n\r\n", NotImplemented),
        ("FOO / HTTP/1.1\r\nHost: x\r\n\r\n", NotImplemented),
        ("GET / HTTP/2.0\r\n\r\n", VersionNotSupported),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VersionNotSupported),
        ("GET / HTTP/1.2", VersionNotSupported),
    ] {
        assert_eq!(status(head.as_bytes()), expected, "{head:?}");
    }
}

#[test]
fn a_head_has_limits() {
    let fields = |count| (0..count).map(|i| format!("H{i}: x\r\n")).collect::<String>();
    let head = |count| format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", fields(count));
    assert!(parse(head(63).as_bytes()).is_ok());
    assert_eq!(status(head(64).as_bytes()), HeaderFieldsTooLarge);
    let long = format!("GET /{}", "a".repeat(HEAD_LEN_MAX));
    assert_eq!(status(&long.as_bytes()[..HEAD_LEN_MAX]), HeaderFieldsTooLarge);
    assert_eq!(parse(&long.as_bytes()[..HEAD_LEN_MAX - 1]), Ok(None));
}

#[test]
fn a_body_has_one_length() {
    for (fields, expected) in [
        ("", 0),
        ("Content-Length: 3\r\n", 3),
        ("content-length:3 \r\nContent-Length: 3\r\n", 3),
        ("Content-Length: 18446744073709551615\r\n", u64::MAX),
    ] {
        assert_eq!(request(&post(fields)).body, Body::Length(expected), "{fields:?}");
    }
    for value in ["", "-3", "+3", "0x3", "3, 3", "3 3", "18446744073709551616", "three", "3\u{b2}"]
    {
        assert_eq!(status(post(&format!("Content-Length: {value}\r\n")).as_bytes()), BadRequest);
    }
    assert_eq!(status(post("Content-Length: 3\r\nContent-Length: 40\r\n").as_bytes()), BadRequest);
    assert_eq!(status(post("Content-Length: 3\r\nContent-Length: x\r\n").as_bytes()), BadRequest);
}

#[test]
fn the_only_coding_is_chunked() {
    let chunked = request(&post("Transfer-Encoding: Chunked\r\n")).body;
    assert_eq!(chunked, Body::Chunked(Chunks::default()));
    for (fields, expected) in [
        ("Transfer-Encoding: xchunked\r\n", NotImplemented),
        ("Transfer-Encoding: gzip, chunked\r\n", NotImplemented),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", NotImplemented),
        ("Transfer-Encoding:\r\n", NotImplemented),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", BadRequest),
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", BadRequest),
    ] {
        assert_eq!(status(post(fields).as_bytes()), expected, "{fields:?}");
    }
    let old = b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(status(old), BadRequest);
}

#[test]
fn connections_persist_by_version_and_option() {
    for (fields, kept_1_1, kept_1_0) in [
        ("", true, false),
        ("Connection: foo, Close\r\n", false, false),
        ("Connection: foo\r\nConnection: close\r\n", false, false),
        ("Connection: closed\r\n", true, false),
        ("Connection: Keep-Alive\r\n", true, true),
        ("Connection: keep-alive, close\r\n", false, false),
    ] {
        for (version, kept) in [("1.1", kept_1_1), ("1.0", kept_1_0)] {
            let head = format!("GET / HTTP/{version}\r\nHost: x\r\n{fields}\r\n");
            assert_eq!(request(&head).keep_alive, kept, "{head:?}");
        }
    }
}

#[test]
fn only_http_1_1_expects_to_be_told_to_continue() {
    assert!(request(&post("Expect: 100-Continue\r\n")).expects_continue);
    assert!(!request(&post("Expect: more\r\n")).expects_continue);
    let old = "POST /echo HTTP/1.0\r\nExpect: 100-continue\r\n\r\n";
    assert!(!request(old).expects_continue);
}

/// Decodes a chunked body that comes `step` bytes at a time. Returns what is behind it, too.
fn decode(mut input: &[u8], step: usize) -> Result<(Vec<u8>, &[u8]), Refusal> {
    let mut body = Body::Chunked(Chunks::default());
    let mut decoded = Vec::new();
    while !body.is_complete() && !input.is_empty() {
        let piece = &input[..step.min(input.len())];
        let len = match body.run_len() {
            0 => body.feed(piece)?,
            run => {
                let len = piece.len().min(run as usize);
                decoded.extend_from_slice(&piece[..len]);
                body.advance(len as u64);
                len
            }
        };
        input = &input[len..];
    }
    assert!(body.is_complete() || input.is_empty());
    Ok((decoded, input))
}

#[test]
fn chunks_are_joined_however_they_are_cut() {
    let body = b"3\r\nabc\r\n00A ; x=\"y\"\r\n0123456789\r\n0;end\r\nX: y\r\nZ: \xff\r\n\r\nGET /";
    for step in 1..=body.len() {
        let (decoded, rest) = decode(body, step).unwrap();
        assert_eq!((&decoded[..], rest), (&b"abc0123456789"[..], &b"GET /"[..]), "by {step}");
    }
}

#[test]
fn malformed_chunks_are_refused() {
    let long_extension = format!("1;{}\r\n", "x".repeat(CHUNK_EXTRA_LEN_MAX));
    let long_trailers = format!("0\r\n{}", "a: b\r\n".repeat(CHUNK_EXTRA_LEN_MAX / 4 + 1));
    for body in [
        "zz\r\n",
        "\r\n",
        ";x\r\n",
        "-3\r\n",
        "0x3\r\n",
        "3\nabc\n",
        "3\rabc",
        "3;x\nabc",
        "3\r\nabcX",
        "3\r\nabc\n",
        "ffffffffffffffff0\r\n",
        "00000000000000003\r\n",
        "0\r\n\n",
        "0\r\nA: b\n\r\n",
        &long_extension,
        &long_trailers,
    ] {
        assert_eq!(decode(body.as_bytes(), 7).expect_err(body).status, BadRequest, "{body:?}");
    }
}

#[test]
fn the_largest_chunk_is_counted() {
    let mut body = Body::Chunked(Chunks::default());
    assert_eq!(body.feed(b"ffffffffffffffff\r\nabc"), Ok(18));
    assert_eq!(body.run_len(), u64::MAX);
    body.advance(u64::MAX);
    assert!(!body.is_complete());
    assert!(matches!(body, Body::Chunked(Chunks { state: ChunkState::DataCr, .. })));
}

#[test]
fn numbers_are_digits() {
    assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
    for text in ["", "+5", "-5", "18446744073709551616", "5 ", "\u{664}"] {
        assert_eq!(decimal(text), None, "{text:?}");
    }
}
