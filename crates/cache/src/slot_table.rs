//! Which master of a cluster owns a slot, and where commands about it are sent. Pure: nodes are asked elsewhere.
//!
//! A node *claims* the slots that it owns with each of its heartbeats. Memory answers for a slot while its owner's link is
//! proven; a slot that has another owner than before, or none, begins a new epoch. A *route* is where commands are sent:
//! it also follows the redirections of nodes (`MOVED`), which may come before the owner's next heartbeat.

use std::collections::HashMap;

use examhall_redis::{SLOTS, SlotSet};

/// Identifies a server of a cache for as long as the cache is open: 0 if it is the only one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServerNumber(pub(crate) u32);

/// A node's claim to a slot.
#[derive(Clone, Copy, Debug)]
struct Claim {
    node: ServerNumber,
    /// Configuration epoch of the node: the greatest one owns the slot (Redis Cluster specification).
    epoch: u64,
}

/// Owners and routes of all slots.
#[derive(Debug)]
pub(crate) struct SlotTable {
    owners: Vec<Option<Claim>>,
    routes: Vec<Option<ServerNumber>>,
    /// Configuration epoch of each node's last claim.
    epochs: HashMap<ServerNumber, u64>,
}

impl SlotTable {
    pub(crate) fn new() -> Self {
        let slots = usize::from(SLOTS);
        Self { owners: vec![None; slots], routes: vec![None; slots], epochs: HashMap::new() }
    }

    /// Records which slots a node owns. Returns those that begin a new epoch: the node has won or lost them since its last
    /// claim, or they may have been another node's in between.
    pub(crate) fn claim(&mut self, node: ServerNumber, epoch: u64, claimed: &SlotSet) -> SlotSet {
        let mut changed = SlotSet::new();
        for slot in 0..SLOTS {
            let (owner, route) = (&mut self.owners[usize::from(slot)], &mut self.routes[usize::from(slot)]);
            let is_own = owner.is_some_and(|owner| owner.node == node);
            let is_beaten = owner.is_some_and(|owner| !is_own && owner.epoch > epoch);
            let is_won = claimed.contains(slot) && !is_beaten;
            if is_won {
                (*owner, *route) = (Some(Claim { node, epoch }), Some(node));
            } else if is_own {
                *owner = None;
            }
            if is_won != is_own {
                changed.insert(slot);
            }
        }
        // A node that takes slots gets a new epoch. This one has the same slots as before, so it had to take them back.
        let has_new_epoch = self.epochs.insert(node, epoch).is_some_and(|before| before != epoch);
        if changed.is_empty() && has_new_epoch { self.owned_by(node) } else { changed }
    }

    /// Returns the slots that a node owns.
    pub(crate) fn owned_by(&self, node: ServerNumber) -> SlotSet {
        let is_own = |slot: &u16| self.owners[usize::from(*slot)].is_some_and(|owner| owner.node == node);
        (0..SLOTS).filter(is_own).collect()
    }

    /// Returns the server to which commands about a slot are sent.
    pub(crate) fn route(&self, slot: u16) -> Option<ServerNumber> {
        self.routes.get(usize::from(slot)).copied().flatten()
    }

    /// Sends commands about a slot to this node: another one has redirected them.
    pub(crate) fn redirect(&mut self, slot: u16, node: ServerNumber) {
        if let Some(route) = self.routes.get_mut(usize::from(slot)) {
            *route = Some(node);
        }
    }

    /// Forgets a node. Returns the slots that it owned.
    pub(crate) fn remove(&mut self, node: ServerNumber) -> SlotSet {
        let owned = self.owned_by(node);
        owned.iter().for_each(|slot| self.owners[usize::from(slot)] = None);
        self.routes.iter_mut().filter(|route| **route == Some(node)).for_each(|route| *route = None);
        self.epochs.remove(&node);
        owned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ServerNumber = ServerNumber(1);
    const B: ServerNumber = ServerNumber(2);

    fn slots(set: &SlotSet) -> Vec<u16> {
        set.iter().collect()
    }

    /// Two nodes: A has the slots 0 to 3, B 4 and 5.
    fn table() -> SlotTable {
        let mut table = SlotTable::new();
        assert_eq!(slots(&table.claim(A, 1, &(0..4).collect())), [0, 1, 2, 3]);
        assert_eq!(slots(&table.claim(B, 2, &(4..6).collect())), [4, 5]);
        table
    }

    #[test]
    fn only_slots_that_move_change() {
        let mut table = table();
        assert!(table.claim(A, 1, &(0..4).collect()).is_empty(), "as before");
        assert_eq!(slots(&table.claim(A, 1, &(0..3).collect())), [3], "it is being moved");
        assert_eq!(table.route(3), Some(A), "where it is still");
        assert_eq!(slots(&table.claim(B, 3, &(3..6).collect())), [3], "it has arrived");
        assert_eq!((table.route(3), table.route(2), table.route(9)), (Some(B), Some(A), None));
        assert_eq!((slots(&table.owned_by(A)), slots(&table.owned_by(B))), (vec![0, 1, 2], vec![3, 4, 5]));
    }

    #[test]
    fn greatest_epoch_owns_a_slot() {
        let mut table = table();
        assert_eq!(slots(&table.claim(B, 3, &(3..6).collect())), [3], "before its old owner knows");
        assert!(table.claim(A, 1, &(0..4).collect()).is_empty() && table.claim(B, 3, &(3..6).collect()).is_empty());
        assert_eq!(table.route(3), Some(B), "the old owner's claim does not count");
        assert_eq!(slots(&table.claim(A, 4, &(0..4).collect())), [3], "and it has taken it back");
    }

    #[test]
    fn slots_that_were_away_and_came_back_change() {
        let mut table = table();
        assert_eq!(slots(&table.claim(A, 9, &(0..4).collect())), [0, 1, 2, 3]);
        assert_eq!(slots(&table.claim(A, 10, &(0..5).collect())), [4], "one that takes a slot keeps the others");
    }

    #[test]
    fn redirections_and_lost_nodes_change_routes() {
        let mut table = table();
        table.redirect(0, B);
        assert_eq!((table.route(0), slots(&table.owned_by(B))), (Some(B), vec![4, 5]), "it owns what it claims");
        assert_eq!(slots(&table.remove(A)), [0, 1, 2, 3]);
        assert_eq!((table.route(0), table.route(1)), (Some(B), None));
        assert!(table.owned_by(A).is_empty());
    }
}
