use super::*;

fn receiver() -> Receiver {
    Receiver::new(0xffff, &Config { receive_bytes_min: 1000, receive_bytes_max: 4000, ..Config::default() })
}

fn receive(receiver: &mut Receiver, seq: u16, payload: &[u8], fin: bool) -> bool {
    receiver.receive(Instant::ZERO, seq, payload, fin, Duration::from_millis(10))
}

fn bits(receiver: &Receiver) -> Vec<u8> {
    receiver.selective_ack(&mut [0; SELECTIVE_ACK_BYTES_MAX]).to_vec()
}

/// BEP 29: the first bit is the packet after the first that is missing.
#[test]
fn packets_after_a_gap_are_named_and_wait_for_it() {
    let mut receiver = receiver();
    assert!(bits(&receiver).is_empty() && !receiver.has_gap());
    for (seq, payload) in [(0, b"b"), (3, b"e"), (40, b"z")] {
        assert!(receive(&mut receiver, seq, payload, false));
    }
    // Missing: 0xffff. Bit 0 is packet 0, bit 3 packet 3, bit 40 packet 40.
    assert_eq!(bits(&receiver), [0b1001, 0, 0, 0, 0, 1, 0, 0]);
    assert!(receive(&mut receiver, 0xffff, b"a", false));
    assert_eq!(receiver.ack(), 0);
    // Missing: 1. Bit 1 is packet 3, bit 38 packet 40.
    assert_eq!(bits(&receiver), [0b10, 0, 0, 0, 0b100_0000, 0, 0, 0]);
    let mut out = [0; 10];
    assert_eq!(receiver.read(Instant::ZERO, &mut out), 2);
    assert_eq!(&out[..2], b"ab");
}

#[test]
fn more_than_the_window_is_not_kept() {
    let mut receiver = receiver();
    assert!(receive(&mut receiver, 1, &[1; 600], false));
    assert!(!receive(&mut receiver, 2, &[1; 600], false));
    assert!(receive(&mut receiver, 0xffff, &[1; 400], false));
    assert!(receive(&mut receiver, 0, b"", false));
    assert_eq!((receiver.ack(), receiver.window()), (1, 0));
    assert!(!receive(&mut receiver, 2, &[1; 600], false));
    // Reading makes room, and the sender is told at once.
    receiver.tell();
    assert!(!receiver.due(Instant::ZERO));
    assert_eq!(receiver.read(Instant::ZERO, &mut [0; 2000]), 1000);
    assert!(receiver.due(Instant::ZERO) && receiver.window() == 1000);
}

#[test]
fn a_reader_that_keeps_up_gets_more_room() {
    let mut receiver = receiver();
    for seq in 0..60_u16 {
        assert!(receive(&mut receiver, seq.wrapping_sub(1), &[1; 1000], false));
        assert_eq!(receiver.read(Instant::ZERO, &mut [0; 2000]), 1000);
    }
    assert_eq!(receiver.window(), 4000);
}

#[test]
fn the_end_may_come_early_and_nothing_follows_it() {
    let mut receiver = receiver();
    assert!(receive(&mut receiver, 1, b"", true));
    assert!(!receive(&mut receiver, 2, b"late", false));
    assert!(!receive(&mut receiver, 0, b"", true), "two ends");
    assert!(receive(&mut receiver, 0, b"b", false) && !receiver.is_whole());
    assert!(receive(&mut receiver, 0xffff, b"a", false));
    assert!(receiver.is_whole() && !receiver.has_ended());
    assert_eq!(receiver.read(Instant::ZERO, &mut [0; 9]), 2);
    assert!(receiver.has_ended());
}
