use alloc::{format, string::String, vec, vec::Vec};

use super::{
    ARGS_MAX, BULK_LEN_MAX, Parser, ProtocolError, REPLY_LEN_MAX, REQUEST_LEN_MAX, Replies, integer,
};

type Request = Vec<Vec<u8>>;

/// Every request in `input`, and what is behind the last.
fn requests(mut input: &[u8]) -> Result<(Vec<Request>, &[u8]), ProtocolError> {
    let mut parser = Parser::default();
    let mut found = vec![];
    while let Some(len) = parser.parse(input)? {
        found.push(parser.args(input).from(0).map(<[u8]>::to_vec).collect());
        input = &input[len..];
    }
    Ok((found, input))
}

fn words(line: &str) -> Result<Request, ProtocolError> {
    requests(format!("{line}\r\n").as_bytes()).map(|(mut found, _)| found.remove(0))
}

#[test]
fn a_request_is_complete_or_goes_on() {
    let input = b"*2\r\n$3\r\nGET\r\n$5\r\nk\r\ney\r\n";
    for len in 0..input.len() {
        let (found, rest) = requests(&input[..len]).unwrap();
        assert_eq!((found.len(), rest.len()), (0, len));
    }
    let twice = [&input[..], input, b"*1"].concat();
    let (found, rest) = requests(&twice).unwrap();
    assert_eq!(found, vec![vec![b"GET".to_vec(), b"k\r\ney".to_vec()]; 2]);
    assert_eq!(rest, b"*1");
}

#[test]
fn a_long_argument_is_not_parsed_until_it_is_there() {
    let mut parser = Parser::default();
    let mut input = b"*2\r\n$3\r\nGET\r\n$1000\r\nk".to_vec();
    assert_eq!(parser.parse(&input), Ok(None));
    let needed = parser.needed();
    assert_eq!(needed, input.len() - 1 + 1000 + 2);
    input.resize(needed, b'x');
    assert_eq!(parser.parse(&input), Ok(Some(needed)));
    assert_eq!(parser.args(&input).get(1).len(), 1000);
}

#[test]
fn an_empty_request_says_nothing() {
    for input in ["*0\r\n", "*-1\r\n", "\r\n", "\n", "   \r\n"] {
        let (found, rest) = requests(input.as_bytes()).unwrap();
        assert_eq!((found.len(), found[0].len(), rest.len()), (1, 0, 0), "{input:?}");
    }
}

#[test]
fn what_is_not_a_request_is_named() {
    let many = format!("*{}\r\n", ARGS_MAX + 1);
    let long = format!("*1\r\n${}\r\n", BULK_LEN_MAX + 1);
    for (input, expected) in [
        ("*x\r\n", "invalid multibulk length"),
        ("*\r\n", "invalid multibulk length"),
        ("*99999999999999999999\r\n", "invalid multibulk length"),
        (&many, "invalid multibulk length"),
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("*1\r\n\0", "expected '$', got '\\u{0}'"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$\r\n", "invalid bulk length"),
        ("*1\r\n$+3\r\nfoo\r\n", "invalid bulk length"),
        (&long, "invalid bulk length"),
        ("*1111111111111111111111111111111111", "too big count string"),
        ("*1\r\n$1111111111111111111111111111111111", "too big count string"),
        ("get \"k\r\n", "unbalanced quotes in request"),
        ("get \"k\"x\r\n", "unbalanced quotes in request"),
        ("get 'k\r\n", "unbalanced quotes in request"),
    ] {
        let error = requests(input.as_bytes()).expect_err(input);
        assert_eq!(format!("{error}"), format!("Protocol error: {expected}"), "{input:?}");
    }
    let endless = "x".repeat(64 * 1024);
    assert_eq!(requests(endless.as_bytes()), Err(ProtocolError::TooBigInline));
}

#[test]
fn a_request_has_a_limit() {
    let argument = format!("${BULK_LEN_MAX}\r\n{}\r\n", "x".repeat(BULK_LEN_MAX));
    let whole = format!("*1\r\n{argument}");
    assert_eq!(requests(whole.as_bytes()).unwrap().0.len(), 1);
    let endless = format!("*9\r\n{}", argument.repeat(2));
    assert!(endless.len() > REQUEST_LEN_MAX);
    assert_eq!(requests(endless.as_bytes()), Err(ProtocolError::TooBigRequest));
    // It is known before the bytes have come.
    let announced = &endless[..endless.len() - argument.len() + 20];
    assert_eq!(requests(announced.as_bytes()), Err(ProtocolError::TooBigRequest));
}

#[test]
fn garbage_is_harmless() {
    let mut seed = 1_u32;
    for _ in 0..20_000 {
        let input: Vec<u8> = (0..40)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b"*$-0123\r\n\"' x\\"[(seed >> 24) as usize % 14]
            })
            .collect();
        if let Ok((_, rest)) = requests(&input) {
            assert!(rest.len() <= input.len());
        }
    }
}

#[test]
fn words_are_split_as_in_a_shell() {
    for (line, expected) in [
        ("ping", &["ping"][..]),
        ("  set  k\tv ", &["set", "k", "v"]),
        ("set k \"two words\"", &["set", "k", "two words"]),
        (r#"set k "\x41\n\"\\""#, &["set", "k", "A\n\"\\"]),
        (r#"set k "\xzz""#, &["set", "k", "xzz"]),
        (r"set k 'it\'s \n'", &["set", "k", r"it's \n"]),
        ("set k ''", &["set", "k", ""]),
        ("set k pre\"fix\"", &["set", "k", "prefix"]),
    ] {
        let expected: Vec<Vec<u8>> = expected.iter().map(|word| word.as_bytes().to_vec()).collect();
        assert_eq!(words(line), Ok(expected), "{line}");
    }
    assert_eq!(words(&"x ".repeat(ARGS_MAX + 1)), Err(ProtocolError::TooBigInline));
}

#[test]
fn integers_are_plain() {
    for (text, expected) in [
        ("0", Some(0)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775807", Some(i64::MAX)),
        ("9223372036854775808", None),
        ("-0", None),
        ("+1", None),
        ("01", None),
        (" 1", None),
        ("1 ", None),
        ("", None),
        ("-", None),
        ("1a", None),
    ] {
        assert_eq!(integer(text.as_bytes()), expected, "{text:?}");
    }
}

fn text(replies: &Replies) -> String {
    let pieces: Vec<&[u8]> = replies.pieces().collect();
    assert_eq!(replies.len(), pieces.concat().len());
    String::from_utf8(pieces.concat()).unwrap()
}

#[test]
fn replies_have_their_form() {
    let mut replies = Replies::new(|_| true);
    replies.ok();
    replies.error(format_args!("ERR a\r\nb"));
    replies.integer(-5);
    replies.array(2);
    replies.bulk(b"a\r\nb");
    replies.bulk_or_nil(None);
    replies.end();
    assert_eq!(text(&replies), "+OK\r\n-ERR a  b\r\n:-5\r\n*2\r\n$4\r\na\r\nb\r\n$-1\r\n");
    replies.clear();
    assert_eq!(text(&replies), "");
}

#[test]
fn a_reply_without_room_is_an_error() {
    let error = "-OOM the reply needs more memory than it may take\r\n";
    let mut replies = Replies::new(|_| true);
    replies.ok();
    replies.end();
    let value = vec![0; BULK_LEN_MAX];
    for _ in 0..=REPLY_LEN_MAX / BULK_LEN_MAX {
        replies.bulk(&value);
    }
    replies.end();
    replies.ok();
    replies.end();
    assert_eq!(text(&replies), format!("+OK\r\n{error}+OK\r\n"));

    // Short replies are made without asking.
    let mut replies = Replies::new(|_| false);
    for _ in 0..1000 {
        replies.ok();
        replies.end();
        replies.bulk(&[0; 2000]);
        replies.end();
    }
    assert_eq!(text(&replies), format!("+OK\r\n{error}").repeat(1000));
}

#[test]
fn replies_begin_anew() {
    let mut replies = Replies::new(|_| true);
    for len in [0, 1, 1000, 5000, 20_000, 100_000] {
        replies.ok();
        replies.end();
        let before = text(&replies);
        replies.bulk(&vec![b'x'; len]);
        replies.restart();
        assert_eq!(text(&replies), before);
        replies.integer(1);
        replies.end();
        assert_eq!(text(&replies), format!("{before}:1\r\n"));
    }
    // Nothing is left of what has been sent.
    replies.bulk(&vec![b'x'; 100_000]);
    replies.end();
    replies.clear();
    replies.restart();
    replies.ok();
    assert_eq!(text(&replies), "+OK\r\n");
}
