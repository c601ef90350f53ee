//! Members as a set of ids: in whichever form they are kept, what is in them is what a plain list says.

use ringcast_core::audience::Members;
use ringcast_core::connection::ConnectionId;

fn ids(bits: impl IntoIterator<Item = u64>) -> Vec<ConnectionId> {
    bits.into_iter().map(ConnectionId::from_bits).collect()
}

#[test]
fn members_without_others_are_those_that_are_left_and_take_no_more_than_a_list() {
    let generation = 1 << 32;
    let few = 0..9u64;
    let many = (0..3000).chain(generation..generation + 50);
    let scattered = (0..300).map(|n| n * 1_000_003);
    let all: [Vec<_>; 3] = [ids(few), ids(many), ids(scattered)];
    let others: [Vec<_>; 5] = [
        ids([]),
        ids([7, generation + 7, 5_000_000]),
        ids([generation + 1, 3, 1]),
        ids((0..3000).rev().filter(|n| n % 2 == 0)),
        ids(0..2990),
    ];
    for members in &all {
        for others in &others {
            let left: Vec<_> = members.iter().copied().filter(|id| !others.contains(id)).collect();
            let without = Members::new(members.clone()).without(&Members::new(others.clone()));
            assert_eq!(without.iter().collect::<Vec<_>>(), left);
            assert!(without.bytes() <= left.len() * size_of::<ConnectionId>());
        }
    }
}
