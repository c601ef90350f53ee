//! Filters that all have to match, made ready: what can be asked in one look is put together, and the rest
//! into an order.

use std::cmp::Ordering;
use std::ops::Bound;

use super::{Node, OneOf, Test};

/// All of these. `3 <= level < 5` becomes one range, whose cost is that of what lies in it.
pub(super) fn all_of(parts: Vec<Node>) -> Node {
    let mut together: Vec<Node> = Vec::with_capacity(parts.len());
    let mut add = |part: Node| {
        if !together.iter_mut().any(|other| narrow(other, &part)) {
            together.push(part);
        }
    };
    for part in parts {
        match part {
            Node::And(parts) => parts.into_iter().for_each(&mut add),
            part => add(part),
        }
    }
    together.sort_by_key(estimating);
    Node::And(together)
}

/// How long it takes to say how many connections match: looked up at once, counted along an index, put
/// together.
fn estimating(node: &Node) -> u8 {
    match node {
        Node::Test(_, Test::OneOf(_) | Test::Has(_)) => 0,
        Node::Test(_, Test::Numbers(..) | Test::Texts(..)) => 1,
        Node::And(_) | Node::Or(_) | Node::Not(_) => 2,
    }
}

/// Narrow a range by another one over the same field. False if these are no such two.
fn narrow(node: &mut Node, by: &Node) -> bool {
    let (Node::Test(field, test), Node::Test(other_field, other_test)) = (node, by) else {
        return false;
    };
    if field != other_field {
        return false;
    }
    let can_pass = match (&mut *test, other_test) {
        (Test::Numbers(low, high), Test::Numbers(other_low, other_high)) => {
            intersect(low, high, other_low, other_high)
        }
        (Test::Texts(low, high), Test::Texts(other_low, other_high)) => {
            intersect(low, high, other_low, other_high)
        }
        _ => return false,
    };
    if !can_pass {
        *test = Test::OneOf(OneOf::default());
    }
    true
}

/// Make the range what lies in both. False if nothing can.
fn intersect<T: Ord + Clone>(
    low: &mut Bound<T>,
    high: &mut Bound<T>,
    other_low: &Bound<T>,
    other_high: &Bound<T>,
) -> bool {
    tighten(low, other_low, Ordering::Greater);
    tighten(high, other_high, Ordering::Less);
    match (low, high) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => true,
        (Bound::Included(low), Bound::Included(high)) => low <= high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => {
            low < high
        }
    }
}

/// Take `other` if it lies further towards the middle, which is on the side that `inwards` says.
fn tighten<T: Ord + Clone>(bound: &mut Bound<T>, other: &Bound<T>, inwards: Ordering) {
    let is_tighter = match (&*bound, other) {
        (_, Bound::Unbounded) => false,
        (Bound::Unbounded, _) => true,
        (Bound::Included(own) | Bound::Excluded(own), Bound::Included(value) | Bound::Excluded(value)) => {
            let order = value.cmp(own);
            order == inwards || (order.is_eq() && matches!(other, Bound::Excluded(_)))
        }
    };
    if is_tighter {
        *bound = other.clone();
    }
}
