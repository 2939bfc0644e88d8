//! Commands and states of channels, as they come, and changed.
//!
//! This law is no part of the library, for `ucan-chan` stands above the crates of tokens: the fuzz target and a test of
//! `ucan-chan` include it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use ucan_chan::{Channel, Charge, Close, CommandError, Dispute, Open, Purse, Settle, Terms, Voucher};
use ucan_core::{DidKeys, Ipld, Issuer, Timestamp, Token, block, dagcbor, verify};
use ucan_invocation::TaskId;
use varsig::ed25519::SigningKey;

/// The input is read as it is; and as changes of what is well-formed: pairs of a place and a byte.
///
/// What is read keeps its bytes and is one command only; what nobody signed does not verify; a state that is read is written as
/// the same bytes, and has not more drawn than there is.
pub(crate) fn channel(data: &[u8]) {
    read(data);
    let Some((which, changes)) = data.split_first() else { return };
    let originals = originals();
    let original = &originals[usize::from(*which) % originals.len()];
    let mut changed = original.clone();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % changed.len();
        changed[at] = change[2];
    }
    if read(&changed) {
        assert!(originals.contains(&changed), "a token that nobody signed verifies");
    }
}

/// Whether bytes are a command of channels that its issuer has signed.
fn read(bytes: &[u8]) -> bool {
    fn command<T: Token>(bytes: &[u8], read: Result<T, CommandError>) -> Option<bool> {
        let token = read.ok()?;
        assert_eq!(token.envelope().bytes(), bytes);
        Some(verify(&token, &DidKeys).is_ok())
    }
    let commands = [
        command(bytes, Open::decode(bytes)),
        command(bytes, Voucher::decode(bytes)),
        command(bytes, Close::decode(bytes)),
        command(bytes, Settle::decode(bytes)),
        command(bytes, Dispute::decode(bytes)),
    ];
    let found: Vec<bool> = commands.into_iter().flatten().collect();
    assert!(found.len() <= 1, "one token is two commands");
    if let Ok(channel) = Channel::decode(bytes) {
        assert_eq!(channel.encode().as_deref(), Ok(bytes));
        assert!(channel.total() + channel.allotted() <= channel.terms().budget());
    }
    if let Ok(purse) = Purse::decode(bytes) {
        assert_eq!(purse.encode().as_deref(), Ok(bytes));
    }
    if let Ok(Ipld::Map(meta)) = dagcbor::decode(bytes)
        && let Ok(Some(charge)) = Charge::of_meta(&meta)
    {
        assert!(charge.number > 0 && charge.cost <= charge.charged);
        let mut again = meta.clone();
        charge.put(&mut again);
        assert_eq!(again, meta, "a charge says something that is not read");
    }
    found.contains(&true)
}

/// A token of every command, states, and a charge as it stands in metadata.
pub(crate) fn originals() -> &'static [Vec<u8>] {
    static ALL: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let [provider, holder] = [1, 2].map(|seed| Issuer::ed25519(SigningKey::from_seed(&[seed; 32])));
        let unit = "gas".parse().expect("a unit");
        let offer = Terms::offer(provider.did(), holder.did().clone(), unit, 1_000, Timestamp::MAX).expect("in range");
        let root = offer.nonce(vec![7; 12]).sign(&provider).expect("a software key signs");
        let terms = Terms::read(&[root]).expect("a channel");
        let task = TaskId::new(block::dag_cbor_cid(b"task"));
        let open = Open::sign(&holder, &terms, 60).expect("a software key signs");
        let mut purse = Purse::new(terms.clone());
        let draft = purse.reserve(task, 250).expect("there is enough");
        let voucher = draft.sign(&holder, &terms).expect("a software key signs");
        let close = Close::sign(&holder, &terms, 1, 250).expect("a software key signs");
        let settle = Settle::sign(&provider, &terms, Some(&voucher), 200).expect("a software key signs");
        let evidence = [*voucher.envelope().cid()];
        let dispute = Dispute::sign(&provider, &terms, 1, 250, &evidence).expect("a software key signs");
        let tokens = [open.bytes(), voucher.bytes(), close.bytes(), settle.bytes(), dispute.bytes()];
        let mut all: Vec<Vec<u8>> = tokens.map(<[u8]>::to_vec).into();
        let open = verify(open, &DidKeys).expect("it was signed");
        let mut channel = Channel::open(terms, &open).expect("its own terms");
        let voucher = verify(voucher, &DidKeys).expect("it was signed");
        channel.draw(&voucher, Timestamp::EPOCH).expect("there is enough");
        let charged = channel.reserve(task, 50, 0, 1, Timestamp::EPOCH).expect("there is credit");
        let charge = channel.charge(&charged, 20).expect("within its limit");
        let other = TaskId::new(block::dag_cbor_cid(b"another"));
        drop(channel.reserve(other, 60, 0, 1, Timestamp::EPOCH).expect("there is credit"));
        all.push(channel.encode().expect("small"));
        all.push(purse.encode().expect("small"));
        let mut meta = BTreeMap::new();
        charge.put(&mut meta);
        all.push(dagcbor::encode(&Ipld::Map(meta)).expect("small"));
        all
    })
}
