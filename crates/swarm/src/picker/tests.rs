use super::*;
use peerage_base::Rng;
use proptest::prelude::*;

const PIECES: u32 = 12;
const BLOCKS: u32 = 4;

fn picker() -> Picker {
    let geometry = Geometry::plain(u64::from(PIECES * BLOCKS * 16384) - 5000, BLOCKS * 16384);
    Picker::new(geometry, Bitfield::new(PIECES))
}

fn seed(slot: u32, have: &Bitfield) -> Asker<'_> {
    Asker { slot, have, whole: true, only: None }
}

/// Every relation between the picker's parts that must always hold.
fn check(picker: &Picker, asked: &[(u32, Pick)]) {
    let mut left = 0;
    for piece in 0..picker.geometry.pieces() {
        let state = picker.states[piece as usize];
        let is = |wanted: PieceState| state == wanted;
        assert_eq!(picker.have.get(piece), is(PieceState::Have));
        assert_eq!(picker.wanted.get(piece), !is(PieceState::Have) && !is(PieceState::Skipped));
        assert_eq!(picker.open.get(piece), is(PieceState::Open));
        assert_eq!(picker.places.contains_key(&piece), is(PieceState::Active) || is(PieceState::Verifying));
        if picker.wanted.get(piece) {
            left += u64::from(picker.geometry.data_len(piece));
        }
    }
    assert_eq!(left, picker.left);
    assert_eq!(picker.actives.iter().filter(|active| active.live).count(), picker.places.len());
    for (&piece, &at) in &picker.places {
        let active = &picker.actives[at as usize];
        assert!(active.live && active.piece == piece && !active.is_untouched());
        assert_eq!(active.is_complete(), picker.states[piece as usize] == PieceState::Verifying);
        assert_eq!(active.listed, active.free > 0);
        assert_eq!(active.listed, picker.unfinished.contains(&at));
        for (index, copies) in active.copies().enumerate() {
            let same = |(_, pick): &&(u32, Pick)| pick.piece == piece && pick.index == index as u32;
            if let Some(copies) = copies {
                assert_eq!(asked.iter().filter(same).count(), usize::from(copies));
            }
        }
    }
}

#[test]
fn a_fast_peer_fetches_whole_pieces_in_order() {
    let (mut picker, mut rng, all) = (picker(), Rng::from_number(1), Bitfield::full(PIECES));
    picker.availability().add_whole();
    let (mut current, mut out) = (None, Vec::new());
    for _ in 0..7 {
        picker.pick(&seed(0, &all), &mut current, 3, &mut rng, &mut out);
    }
    assert_eq!(out.len(), 21);
    for (at, picks) in out.chunks(BLOCKS as usize).enumerate() {
        assert!(picks.iter().enumerate().all(|(index, pick)| pick.index == index as u32), "{at}");
        assert!(picks.iter().all(|pick| pick.piece == picks[0].piece));
    }
}

#[test]
fn fast_peers_take_different_pieces_and_slow_ones_share() {
    let (mut picker, mut rng, all) = (picker(), Rng::from_number(1), Bitfield::full(PIECES));
    picker.availability().add_whole();
    let mut out = Vec::new();
    for slot in 0..3 {
        picker.pick(&seed(slot, &all), &mut None, 1, &mut rng, &mut out);
    }
    assert!(out[0].piece != out[1].piece && out[1].piece != out[2].piece && out[0].piece != out[2].piece);
    for slot in 3..5 {
        let slow = Asker { whole: false, ..seed(slot, &all) };
        picker.pick(&slow, &mut None, 2, &mut rng, &mut out);
    }
    assert!(out[3..].iter().all(|pick| pick.piece == out[3].piece));
    assert!(out[3..].iter().enumerate().all(|(index, pick)| pick.index == index as u32));
}

#[test]
fn sequential_starts_at_the_read_position_and_wraps() {
    let (mut picker, mut rng, all) = (picker(), Rng::from_number(1), Bitfield::full(PIECES));
    picker.availability().add_whole();
    picker.set_sequential(Some(9));
    let mut out = Vec::new();
    picker.pick(&seed(0, &all), &mut None, 1000, &mut rng, &mut out);
    let mut order: Vec<u32> = out.iter().map(|pick| pick.piece).collect();
    order.dedup();
    assert_eq!(order, [9, 10, 11, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn high_priority_pieces_come_first_and_skipped_ones_never() {
    let (mut picker, mut rng, all) = (picker(), Rng::from_number(1), Bitfield::full(PIECES));
    picker.availability().add_whole();
    picker.set_priorities(|piece| match piece {
        0..=3 => Priority::Skip,
        7 | 8 => Priority::High,
        _ => Priority::Normal,
    });
    let mut out = Vec::new();
    picker.pick(&seed(0, &all), &mut None, 1000, &mut rng, &mut out);
    let mut order: Vec<u32> = out.iter().map(|pick| pick.piece).collect();
    order.dedup();
    order[..2].sort_unstable();
    assert_eq!(order[..2], [7, 8]);
    assert_eq!(order.len(), 8);
    assert!(order.iter().all(|piece| *piece > 3));
    picker.set_priorities(|_| Priority::Normal);
    assert_eq!(picker.wanted().count(), PIECES);
}

#[test]
fn a_failed_piece_goes_to_one_peer_alone() {
    let (mut picker, mut rng, all) = (picker(), Rng::from_number(1), Bitfield::full(PIECES));
    picker.availability().add_whole();
    picker.set_priorities(|piece| if piece == 2 { Priority::Normal } else { Priority::Skip });
    let mut out = Vec::new();
    picker.pick(&seed(0, &all), &mut None, 9, &mut rng, &mut out);
    out.iter().for_each(|pick| assert!(picker.receive(*pick, 7).is_some()));
    assert_eq!(picker.parties(2), Some(&[7, 7, 7, 7][..]));
    assert!(picker.verified(2, false));
    let (mut again, mut current) = (Vec::new(), None);
    picker.pick(&Asker { whole: false, ..seed(1, &all) }, &mut current, 2, &mut rng, &mut again);
    picker.pick(&seed(2, &all), &mut None, 9, &mut rng, &mut again);
    picker.pick_endgame(&seed(2, &all), 9, &mut rng, |_| false, &mut again);
    assert_eq!(again.len(), 2, "nobody else may touch it");
    picker.receive(again[0], 1);
    picker.release(again[1]);
    picker.disown(1);
    again.clear();
    picker.pick(&seed(2, &all), &mut None, 9, &mut rng, &mut again);
    assert_eq!(again.len(), 4, "all of it goes to the next peer, whatever the last one sent");
}

#[derive(Clone, Debug)]
enum Step {
    Pick { slot: usize, count: usize },
    Endgame { slot: usize, count: usize },
    Receive { at: usize },
    Release { at: usize },
    Leave { slot: usize },
    Verified { at: usize, ok: bool },
    Lose { piece: u32 },
    Unreceive { piece: u32, begin: u32, len: u32 },
    Prefer { piece: u32, class: Priority },
    Lock { piece: u32, on: bool },
    Sequential(Option<u32>),
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop::sample::select(vec![Priority::Skip, Priority::Low, Priority::Normal, Priority::High]);
    prop_oneof![
        8 => (0usize..4, 1usize..7).prop_map(|(slot, count)| Step::Pick { slot, count }),
        2 => (0usize..4, 1usize..7).prop_map(|(slot, count)| Step::Endgame { slot, count }),
        12 => (0usize..100).prop_map(|at| Step::Receive { at }),
        2 => (0usize..100).prop_map(|at| Step::Release { at }),
        1 => (0usize..4).prop_map(|slot| Step::Leave { slot }),
        3 => (0usize..20, prop::bool::weighted(0.8)).prop_map(|(at, ok)| Step::Verified { at, ok }),
        1 => (0..PIECES).prop_map(|piece| Step::Lose { piece }),
        1 => (0..PIECES, 0u32..70_000, 0u32..70_000)
            .prop_map(|(piece, begin, len)| Step::Unreceive { piece, begin, len }),
        1 => (0..PIECES, class).prop_map(|(piece, class)| Step::Prefer { piece, class }),
        1 => (0..PIECES, any::<bool>()).prop_map(|(piece, on)| Step::Lock { piece, on }),
        1 => prop::option::of(0..PIECES).prop_map(Step::Sequential),
    ]
}

proptest! {
    #[test]
    fn a_piece_is_in_one_state_and_no_block_is_given_out_twice(
        haves in prop::collection::vec(prop::collection::vec(any::<bool>(), PIECES as usize), 4),
        steps in prop::collection::vec(step(), 1..250),
    ) {
        let (mut picker, mut rng) = (picker(), Rng::from_number(9));
        let mut peers = Vec::new();
        for have in &haves {
            let mut field = Bitfield::new(PIECES);
            for (piece, _) in have.iter().enumerate().filter(|(_, has)| **has) {
                field.set(piece as u32);
                picker.availability().add(piece as u32);
            }
            peers.push((field, None));
        }
        let mut asked: Vec<(u32, Pick)> = Vec::new();
        let mut classes = vec![Priority::Normal; PIECES as usize];
        for step in steps {
            match step {
                Step::Pick { slot, count } => {
                    let mut out = Vec::new();
                    let (have, current) = &mut peers[slot];
                    let asker = Asker { whole: slot % 2 == 0, ..seed(slot as u32, have) };
                    picker.pick(&asker, current, count, &mut rng, &mut out);
                    for pick in out {
                        prop_assert!(peers[slot].0.get(pick.piece));
                        prop_assert!(asked.iter().all(|(_, other)| *other != pick), "given out twice");
                        asked.push((slot as u32, pick));
                    }
                }
                Step::Endgame { slot, count } => {
                    let mine: Vec<Pick> =
                        asked.iter().filter(|(of, _)| *of == slot as u32).map(|(_, pick)| *pick).collect();
                    let mut out = Vec::new();
                    picker.pick_endgame(&seed(slot as u32, &peers[slot].0), count, &mut rng, |pick| mine.contains(pick), &mut out);
                    asked.extend(out.into_iter().map(|pick| (slot as u32, pick)));
                }
                Step::Receive { at } if !asked.is_empty() => {
                    let (slot, pick) = asked.swap_remove(at % asked.len());
                    let received = picker.receive(pick, slot).unwrap();
                    let others = asked.iter().any(|(_, other)| *other == pick);
                    prop_assert_eq!(received.duplicates, others);
                    asked.retain(|(_, other)| *other != pick);
                    prop_assert_eq!(picker.receive(pick, slot), None, "accepted twice");
                }
                Step::Release { at } if !asked.is_empty() => {
                    let (_, pick) = asked.swap_remove(at % asked.len());
                    picker.release(pick);
                }
                Step::Leave { slot } => {
                    for (_, pick) in asked.extract_if(.., |(of, _)| *of == slot as u32) {
                        picker.release(pick);
                    }
                    picker.disown(slot as u32);
                }
                Step::Verified { at, ok } => {
                    let verifying: Vec<u32> =
                        (0..PIECES).filter(|piece| picker.state(*piece) == Some(PieceState::Verifying)).collect();
                    if let Some(piece) = verifying.get(at % verifying.len().max(1)) {
                        prop_assert!(picker.verified(*piece, ok));
                    }
                }
                Step::Lose { piece } => {
                    let had = picker.have().get(piece);
                    prop_assert_eq!(picker.lose(piece), had);
                }
                Step::Unreceive { piece, begin, len } => { picker.unreceive(piece, begin, len); }
                Step::Prefer { piece, class } => {
                    classes[piece as usize] = class;
                    picker.set_priorities(|piece| classes[piece as usize]);
                }
                Step::Lock { piece, on } => if on { picker.lock(piece) } else { picker.unlock(piece) },
                Step::Sequential(from) => picker.set_sequential(from),
                Step::Receive { .. } | Step::Release { .. } => {}
            }
            check(&picker, &asked);
        }
    }
}
