use alloc::{format, vec};
use core::time::Duration;

use super::{
    Complaint, Parameters, Results, State, StreamResults, Transport, parse_results, stream_id,
};

fn parse(fields: &str) -> Result<Parameters, Complaint> {
    Parameters::parse(format!("{{{fields}}}").as_bytes())
}

#[test]
fn a_client_of_version_3_12_is_understood() {
    let json = r#"{"udp":true,"omit":0,"time":1,"num":0,"blockcount":0,"parallel":1,"len":1000,
        "bandwidth":100000,"pacing_timer":1000,"client_version":"3.12"}"#;
    let expected = Parameters {
        transport: Transport::Udp,
        receiving: 1,
        sending: 0,
        block_len: 1000,
        time: Some(Duration::from_secs(1)),
        omit: Duration::ZERO,
        limit: None,
        rate: 100_000,
        burst: 1,
        nodelay: false,
        window: None,
        has_long_counters: false,
    };
    assert_eq!(Parameters::parse(json.as_bytes()), Ok(expected));
}

#[test]
fn what_is_left_out_has_a_value() {
    let parameters = parse("").unwrap();
    assert_eq!(parameters.transport, Transport::Tcp);
    assert_eq!((parameters.receiving, parameters.sending), (1, 0));
    assert_eq!((parameters.block_len, parameters.limit), (128 * 1024, None));
    assert_eq!(parameters.time, Some(Duration::from_secs(10)));
}

#[test]
fn directions_and_ends() {
    let both = parse(r#""bidirectional":true,"parallel":3"#).unwrap();
    assert_eq!((both.receiving, both.sending, both.streams()), (3, 3, 6));
    let reverse = parse(r#""reverse":true,"time":0,"blockcount":10,"len":1000"#).unwrap();
    assert_eq!((reverse.receiving, reverse.sending), (0, 1));
    assert_eq!((reverse.time, reverse.limit), (None, Some(10_000)));
    let many = parse(r#""num":1e+15,"udp_counters_64bit":1,"nodelay":true,"window":5"#).unwrap();
    assert_eq!((many.limit, many.window), (Some(1_000_000_000_000_000), Some(5)));
    assert!(many.has_long_counters && many.nodelay);
}

#[test]
fn wrong_parameters_are_refused() {
    for (fields, complaint) in [
        (r#""parallel":0"#, Complaint::NumStreams),
        (r#""parallel":129"#, Complaint::NumStreams),
        (r#""len":-1"#, Complaint::BlockSize),
        (r#""len":1048577"#, Complaint::BlockSize),
        (r#""udp":true"#, Complaint::UdpBlockSize),
        (r#""udp":true,"len":15"#, Complaint::UdpBlockSize),
        (r#""udp":true,"len":65508"#, Complaint::UdpBlockSize),
        (r#""time":-1"#, Complaint::Duration),
        (r#""time":86401"#, Complaint::Duration),
        (r#""omit":601"#, Complaint::Omit),
        (r#""burst":1001"#, Complaint::Burst),
        (r#""window":1e300"#, Complaint::BufferSize),
        (r#""sctp":true"#, Complaint::NoSctp),
        (r#""num":1e300"#, Complaint::Parameters),
        (r#""bandwidth":-1"#, Complaint::Parameters),
        (r#""time":"long""#, Complaint::Parameters),
        (r#""time":1e999"#, Complaint::Parameters),
        (r#""time""#, Complaint::Parameters),
    ] {
        assert_eq!(parse(fields), Err(complaint), "{fields}");
    }
    let nested = "[".repeat(8000);
    for json in ["", "null", "[1]", "\0", nested.as_str()] {
        assert_eq!(Parameters::parse(json.as_bytes()), Err(Complaint::Parameters), "{json:.10}");
    }
}

#[test]
fn states_are_bytes() {
    assert_eq!(State::AccessDenied.byte(), 0xff);
    assert_eq!(State::of_client(4), Some(State::TestEnd));
    // What only a server says, and what nobody says.
    for byte in [0, 2, 9, 14, 0xfe, 0xff, b'G'] {
        assert_eq!(State::of_client(byte), None);
    }
    assert_eq!(Complaint::NoMessage.bytes(), [0xfe, 0, 0, 0, 144, 0, 0, 0, 0]);
}

#[test]
fn streams_have_the_numbers_that_clients_expect() {
    assert_eq!([0, 1, 2, 3].map(stream_id), [1, 3, 4, 5]);
}

#[test]
fn results_are_written_as_clients_read_them() {
    let stream = StreamResults { id: 1, bytes: 5, retransmits: -1, ..StreamResults::default() };
    let results = |fields: &str| {
        let json = Results::new(&parse(fields).unwrap(), vec![stream.clone()]).to_json();
        serde_json::from_slice::<serde_json::Value>(&json).unwrap()
    };
    let tcp = results("");
    for name in ["cpu_util_total", "cpu_util_user", "cpu_util_system"] {
        assert_eq!(tcp[name], 0.0);
    }
    assert_eq!(tcp["sender_has_retransmits"], -1);
    assert_eq!(tcp["congestion_used"], "cubic");
    let fields = tcp["streams"][0].as_object().unwrap();
    for name in ["id", "bytes", "retransmits", "jitter", "errors", "packets", "end_time"] {
        assert!(fields[name].is_number(), "{name}");
    }
    assert_eq!(results(r#""reverse":true"#)["sender_has_retransmits"], 1);
    let udp = results(r#""udp":true,"len":100,"bidirectional":true"#);
    assert_eq!(udp["sender_has_retransmits"], 0);
    assert!(udp.get("congestion_used").is_none());
}

#[test]
fn results_of_clients_are_read() {
    let json = r#"{"cpu_util_total":9.1,"sender_has_retransmits":0,"streams":[
        {"id":1,"bytes":13000,"retransmits":18446744073709551615},{"id":3,"bytes":1e3}]}"#;
    assert_eq!(parse_results(json.as_bytes()), Ok(vec![(1, 13_000), (3, 1000)]));
    for json in ["{}", "", r#"{"streams":[{}]}"#, r#"{"streams":[{"id":1,"bytes":-1}]}"#] {
        assert_eq!(parse_results(json.as_bytes()), Err(Complaint::Results), "{json}");
    }
}
