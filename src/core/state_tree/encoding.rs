//! How the store keeps a node.
//!
//! | bytes | |
//! | --- | --- |
//! | 1 | the format, [`FORMAT`] |
//! | 1 | the depth; plus [`BRANCH`] if it is a branch |
//! | 16, varint | only at depth 0: hash and number of all entries below |
//! | varint, … | a leaf: the number of entries, then each entry |
//! | 2, 2, … | a branch: a bit for each slot that names a child, a bit for each that holds an entry, then the slots |
//!
//! An entry is two varints, key and event; a child is one, its id. A varint holds seven bits a byte,
//! lowest first, in as few bytes as possible.

use super::{
    Corrupt, Entry, LEAF_MAX, Node, StateHash,
    node::{Body, Branch, DEPTH_MAX, FAN_OUT, Slot, Summary, nibble, path, prefix},
};
use crate::id::{EventNid, NodeId, StateKeyNid};

const FORMAT: u8 = 1;
const BRANCH: u8 = 0x10;

pub(super) fn encode(node: &Node) -> Vec<u8> {
    let mut out = vec![FORMAT];
    match &node.body {
        Body::Leaf(entries) => {
            put_head(&mut out, node, 0);
            put_varint(&mut out, entries.len() as u64);
            for entry in entries {
                put_entry(&mut out, *entry);
            }
        }
        Body::Branch(branch) => {
            put_head(&mut out, node, BRANCH);
            put_branch(&mut out, branch);
        }
    }
    out
}

fn put_head(out: &mut Vec<u8>, node: &Node, kind: u8) {
    out.push(node.depth | kind);
    if let Some(summary) = node.summary {
        out.extend_from_slice(&summary.hash.to_bytes());
        put_varint(out, summary.len);
    }
}

fn put_branch(out: &mut Vec<u8>, branch: &Branch) {
    let all = branch.all();
    let children = all
        .iter()
        .rev()
        .fold(0, |bits: u16, slot| bits << 1 | u16::from(matches!(slot, Some(Slot::Child(_)))));
    out.extend_from_slice(&children.to_be_bytes());
    out.extend_from_slice(&(branch.occupied & !children).to_be_bytes());
    for slot in &branch.slots {
        match slot {
            Slot::Child(id) => put_varint(out, id.get().cast_unsigned()),
            Slot::Entry(entry) => put_entry(out, *entry),
        }
    }
}

fn put_entry(out: &mut Vec<u8>, entry: Entry) {
    put_varint(out, entry.key.get().cast_unsigned());
    put_varint(out, entry.event.get().cast_unsigned());
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

pub(super) fn decode(data: &[u8]) -> Result<Node, Corrupt> {
    let mut input = Input(data);
    if input.byte()? != FORMAT {
        return Err(Corrupt("unknown format"));
    }
    let head = input.byte()?;
    let depth = head & 0x0f;
    let summary = if depth == 0 { Some(input.summary()?) } else { None };
    let body = match head & 0xf0 {
        0 => Body::Leaf(input.leaf()?),
        BRANCH => Body::Branch(input.branch(depth)?),
        _ => return Err(Corrupt("unknown kind of node")),
    };
    if !input.0.is_empty() {
        return Err(Corrupt("bytes after its end"));
    }
    let node = Node { depth, summary, body };
    check(&node)?;
    Ok(node)
}

/// What every node that was ever written keeps to.
fn check(node: &Node) -> Result<(), Corrupt> {
    debug_assert!(node.depth <= DEPTH_MAX, "four bits hold no more");
    let least = match &node.body {
        Body::Leaf(entries) => {
            check_prefix(entries.iter(), node.depth)?;
            if !entries.is_sorted_by(|a, b| path(a.key) < path(b.key)) {
                return Err(Corrupt("its entries are out of order"));
            }
            if node.depth > 0 && entries.len() < 2 {
                return Err(Corrupt("one entry alone below the root"));
            }
            if node.summary.is_some_and(|summary| summary.len != entries.len() as u64) {
                return Err(Corrupt("it counts its entries wrong"));
            }
            entries.len()
        }
        Body::Branch(branch) => {
            let entries = branch.slots.iter().filter_map(|slot| match slot {
                Slot::Entry(entry) => Some(entry),
                Slot::Child(_) => None,
            });
            check_prefix(entries, node.depth)?;
            let children = node.children().count();
            if children == 0 {
                return Err(Corrupt("a branch without children"));
            }
            branch.slots.len() + children
        }
    };
    // Every child holds at least two.
    if node.summary.is_some_and(|summary| summary.len < least as u64) {
        return Err(Corrupt("it counts fewer entries than it holds"));
    }
    Ok(())
}

fn check_prefix<'a>(mut entries: impl Iterator<Item = &'a Entry>, depth: u8) -> Result<(), Corrupt> {
    let Some(first) = entries.next() else { return Ok(()) };
    let common = prefix(path(first.key), depth);
    if entries.all(|entry| prefix(path(entry.key), depth) == common) {
        return Ok(());
    }
    Err(Corrupt("it holds entries from different places of the tree"))
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Result<u8, Corrupt> {
        Ok(u8::from_be_bytes(self.bytes()?))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Corrupt("it ends early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn varint(&mut self) -> Result<u64, Corrupt> {
        let mut value = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return Err(Corrupt("a number is too big"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(Corrupt("a number is longer than needed"));
                }
                return Ok(value);
            }
        }
        Err(Corrupt("a number is too big"))
    }

    fn summary(&mut self) -> Result<Summary, Corrupt> {
        Ok(Summary { hash: StateHash::from_bytes(self.bytes()?), len: self.varint()? })
    }

    fn entry(&mut self) -> Result<Entry, Corrupt> {
        let key = StateKeyNid::new(self.varint()?.cast_signed());
        let event = EventNid::new(self.varint()?.cast_signed());
        Ok(Entry { key, event })
    }

    fn leaf(&mut self) -> Result<Box<[Entry]>, Corrupt> {
        let len = self.varint()?;
        if len == 0 || len > LEAF_MAX as u64 {
            return Err(Corrupt("a leaf without entries or with too many"));
        }
        (0..len).map(|_| self.entry()).collect()
    }

    fn branch(&mut self, depth: u8) -> Result<Branch, Corrupt> {
        let children = u16::from_be_bytes(self.bytes()?);
        let entries = u16::from_be_bytes(self.bytes()?);
        if children & entries != 0 {
            return Err(Corrupt("a slot is taken twice"));
        }
        let occupied = children | entries;
        let mut slots = Vec::with_capacity(occupied.count_ones() as usize);
        for number in 0..FAN_OUT {
            if children & 1 << number != 0 {
                slots.push(Slot::Child(self.child()?));
            } else if entries & 1 << number != 0 {
                let entry = self.entry()?;
                if nibble(path(entry.key), depth) != number {
                    return Err(Corrupt("an entry is in another's slot"));
                }
                slots.push(Slot::Entry(entry));
            }
        }
        Ok(Branch { occupied, slots: slots.into() })
    }

    fn child(&mut self) -> Result<NodeId, Corrupt> {
        match self.varint()? {
            0 => Err(Corrupt("zero is no node")),
            id => Ok(NodeId::new(id.cast_signed())),
        }
    }
}
