//! A guest that works on IPLD: values of any shape, links, and blocks that are too large to be arguments.

wit_bindgen::generate!({
    world: "ipvm-examples:dag/dag",
    path: ["../../../ipld-wit/wit", "wit"],
    with: { "ipvm:ipld/types@1.0.0": ipvm_guest },
    generate_all,
});

use std::collections::BTreeSet;

use ipvm::ipld::blocks;
use ipvm_guest::{BlockReader, Blocks, Ipld};

struct Dag;

export!(Dag);

impl Guest for Dag {
    fn links(value: Node) -> Vec<Link> {
        let mut seen = BTreeSet::new();
        let mut links = Vec::new();
        // What a host gives is a tree.
        let Ok(whole) = value.to_ipld() else { return links };
        for part in whole.iter() {
            if let Ipld::Link(cid) = part
                && seen.insert(*cid)
            {
                links.push(Link::from(cid));
            }
        }
        links
    }

    fn merge(first: Node, second: Node) -> Result<Node, String> {
        let read = |node: Node| node.to_ipld().map_err(|error| error.to_string());
        Node::from_ipld(&merge(read(first)?, read(second)?)).map_err(|error| error.to_string())
    }

    fn lines(text: Link) -> u64 {
        let mut reader = BlockReader::new(&text, Blocks { size: blocks::size, read: blocks::read });
        let (mut lines, mut last) = (0, b'\n');
        loop {
            let piece = reader.next_piece();
            let Some(end) = piece.last() else { break };
            last = *end;
            lines += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        lines + u64::from(last != b'\n')
    }
}

fn merge(first: Ipld, second: Ipld) -> Ipld {
    match (first, second) {
        (Ipld::Map(mut first), Ipld::Map(second)) => {
            for (key, value) in second {
                let value = match first.remove(&key) {
                    Some(before) => merge(before, value),
                    None => value,
                };
                first.insert(key, value);
            }
            Ipld::Map(first)
        }
        (_, second) => second,
    }
}
