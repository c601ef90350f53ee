//! The table of connections: an id finds its own connection or nobody.

use ringcast_core::connection::{ConnectionId, ConnectionTable};
use ringcast_core::frame::Encoding;

fn open(table: &mut ConnectionTable<()>, encoding: Encoding) -> ConnectionId {
    table.open(encoding).id
}

#[test]
fn a_stale_id_never_finds_a_newcomer() {
    let mut table = ConnectionTable::default();
    let mut stale = Vec::new();
    for _ in 0..100 {
        let id = open(&mut table, Encoding::Json);
        assert_eq!(table.get(id).map(|connection| connection.id), Some(id));
        assert_eq!(ConnectionId::from_bits(id.to_bits()), id);
        assert!(stale.iter().all(|&old| old != id && table.get(old).is_none()));
        assert!(table.close(id).is_some() && table.close(id).is_none());
        stale.push(id);
    }
    assert!(table.get(ConnectionId::from_bits(u64::MAX)).is_none());
}

#[test]
fn the_table_knows_which_encodings_are_in_use() {
    let mut table = ConnectionTable::default();
    assert_eq!((table.encodings(), table.is_empty()), (0, true));
    let json = open(&mut table, Encoding::Json);
    let msgpack = open(&mut table, Encoding::Msgpack);
    assert_eq!((table.encodings(), table.len()), (0b11, 2));
    table.close(json);
    assert_eq!(table.encodings(), 0b10);
    assert_eq!(table.ids(), [msgpack]);
}

#[test]
fn pieces_cover_every_connection_once() {
    let mut table = ConnectionTable::default();
    let ids: Vec<_> = (0..10).map(|_| open(&mut table, Encoding::Json)).collect();
    table.close(ids[3]);
    let (mut seen, mut from) = (Vec::new(), Some(0));
    while let Some(slot) = from {
        from = table.piece(slot, 4, &mut seen);
    }
    assert_eq!(seen.iter().map(|connection| connection.id).collect::<Vec<_>>(), table.ids());
    assert_eq!(table.piece(100, 4, &mut seen), None);
}
