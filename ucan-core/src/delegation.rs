//! Delegations: authority that is passed on.

use std::{collections::BTreeMap, fmt, sync::Arc};

use varsig::SignatureAlgorithm;

use crate::{
    Cid, Command, Did, Envelope, Fields, Ipld, Issuer, Policy, Purpose, Shape, SignError, Timestamp, Token, TokenError,
    Unsigned, tag,
};

/// A delegation: its issuer lets its audience use, or pass on, a command on a subject, within a policy (UCAN Delegation 1.0).
///
/// Decoding checks everything but the signature, which [`verify`](crate::verify) and [`validate`](crate::validate) check.
/// Cloning it is cheap.
///
/// ```
/// use ucan_core::{Command, Delegation, Issuer};
/// use varsig::ed25519::SigningKey;
///
/// let alice = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
/// let bob = Issuer::ed25519(SigningKey::from_seed(&[2; 32]));
/// let delegation = Delegation::builder(bob.did().clone(), Some(alice.did().clone()), "/msg".parse()?)
///     .nonce(b"a fresh one!".to_vec())
///     .sign(&alice)?;
/// let read = Delegation::decode(delegation.bytes())?;
/// assert_eq!(read.cid(), delegation.cid());
/// assert_eq!(read.command().as_str(), "/msg");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Delegation {
    envelope: Envelope,
    fields: Arc<Parsed>,
}

struct Parsed {
    issuer: Did,
    audience: Did,
    subject: Option<Did>,
    command: Command,
    policy: Policy,
    nonce: Box<[u8]>,
    not_before: Option<Timestamp>,
    expiration: Option<Timestamp>,
    meta: Option<BTreeMap<String, Ipld>>,
}

/// A delegation on the wire (UCAN Delegation 1.0, "Delegation Payload").
const SHAPE: Shape = Shape {
    kind: "a delegation",
    tags: &[tag::DELEGATION, tag::DELEGATION_RC1],
    required: &["iss", "aud", "sub", "cmd", "pol", "nonce", "exp"],
    optional: &["nbf", "meta"],
};

impl Parsed {
    fn read(fields: &mut Fields<'_>) -> Result<Self, TokenError> {
        Ok(Self {
            nonce: fields.nonce("nonce")?.into(),
            meta: fields.optional_map("meta")?,
            issuer: fields.did("iss")?,
            audience: fields.did("aud")?,
            subject: fields.nullable_did("sub")?,
            command: fields.command("cmd")?,
            policy: Policy::parse(&fields.value("pol")?)?,
            not_before: fields.optional_time("nbf")?,
            expiration: fields.nullable_time("exp")?,
        })
    }
}

impl Delegation {
    /// Reads a delegation.
    ///
    /// # Errors
    ///
    /// When the bytes are not an envelope, or one of something else, or a field is missing, malformed or not defined.
    pub fn decode(bytes: impl Into<Arc<[u8]>>) -> Result<Self, TokenError> {
        let (envelope, parsed) = Envelope::decode_as(bytes, &SHAPE, Parsed::read)?;
        Ok(Self { envelope, fields: Arc::new(parsed) })
    }

    /// Reads a delegation whose envelope has been read.
    ///
    /// # Errors
    ///
    /// When it is an envelope of something else, or a field is missing, malformed or not defined.
    pub fn from_envelope(envelope: Envelope) -> Result<Self, TokenError> {
        let parsed = envelope.parse_as(&SHAPE, Parsed::read)?;
        Ok(Self { envelope, fields: Arc::new(parsed) })
    }

    /// Starts a new delegation to `audience`; `subject` is none for a powerline, which passes on whatever subject the proof
    /// before it has.
    pub fn builder(audience: Did, subject: Option<Did>, command: Command) -> DelegationBuilder {
        DelegationBuilder {
            audience,
            subject,
            command,
            policy: Policy::default(),
            not_before: None,
            expiration: None,
            meta: BTreeMap::new(),
            nonce: Vec::new(),
            tag: tag::DELEGATION,
        }
    }

    /// The token as it was received.
    pub fn bytes(&self) -> &[u8] {
        self.envelope.bytes()
    }

    /// The token's CID.
    pub fn cid(&self) -> &Cid {
        self.envelope.cid()
    }

    /// Who passes authority on.
    pub fn issuer(&self) -> &Did {
        &self.fields.issuer
    }

    /// Who receives it.
    pub fn audience(&self) -> &Did {
        &self.fields.audience
    }

    /// What the command is done to; none for a powerline.
    pub fn subject(&self) -> Option<&Did> {
        self.fields.subject.as_ref()
    }

    /// What may be done, with everything below it.
    pub fn command(&self) -> &Command {
        &self.fields.command
    }

    /// What is demanded of the arguments.
    pub fn policy(&self) -> &Policy {
        &self.fields.policy
    }

    /// What tells two otherwise equal delegations apart.
    pub fn nonce(&self) -> &[u8] {
        &self.fields.nonce
    }

    /// When it begins to be valid; none when it always was.
    pub fn not_before(&self) -> Option<Timestamp> {
        self.fields.not_before
    }

    /// When it ceases to be valid; none when it never does.
    pub fn expiration(&self) -> Option<Timestamp> {
        self.fields.expiration
    }

    /// Facts that the issuer added, which decide nothing. None when the field is absent.
    pub fn meta(&self) -> Option<&BTreeMap<String, Ipld>> {
        self.fields.meta.as_ref()
    }
}

impl Token for Delegation {
    fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    fn issuer(&self) -> &Did {
        &self.fields.issuer
    }

    fn purpose(&self) -> Purpose {
        Purpose::Delegation
    }
}

/// Delegations are equal when their bytes are.
impl PartialEq for Delegation {
    fn eq(&self, other: &Self) -> bool {
        self.envelope == other.envelope
    }
}

impl Eq for Delegation {}

impl fmt::Debug for Delegation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Delegation").field(&self.envelope).finish()
    }
}

/// A delegation that has not been signed. Made by [`Delegation::builder`].
///
/// Without further ado it allows every argument, never expires, and has an empty nonce: libraries read no randomness, so
/// that whoever wants a random one gives it.
#[derive(Clone, Debug)]
#[must_use]
pub struct DelegationBuilder {
    audience: Did,
    subject: Option<Did>,
    command: Command,
    policy: Policy,
    not_before: Option<Timestamp>,
    expiration: Option<Timestamp>,
    meta: BTreeMap<String, Ipld>,
    nonce: Vec<u8>,
    tag: &'static str,
}

impl DelegationBuilder {
    /// What is demanded of the arguments.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// When it ceases to be valid.
    pub fn expiration(mut self, expiration: impl Into<Option<Timestamp>>) -> Self {
        self.expiration = expiration.into();
        self
    }

    /// When it begins to be valid.
    pub fn not_before(mut self, not_before: impl Into<Option<Timestamp>>) -> Self {
        self.not_before = not_before.into();
        self
    }

    /// Facts to add; left out of the token when empty.
    pub fn meta(mut self, meta: BTreeMap<String, Ipld>) -> Self {
        self.meta = meta;
        self
    }

    /// What tells it apart from others; 12 random bytes are usual.
    pub fn nonce(mut self, nonce: impl Into<Vec<u8>>) -> Self {
        self.nonce = nonce.into();
        self
    }

    /// Writes the tag of the release candidate, for readers that know no other.
    pub fn release_candidate(mut self) -> Self {
        self.tag = tag::DELEGATION_RC1;
        self
    }

    /// Signs it.
    ///
    /// # Errors
    ///
    /// When the signer fails, or what was given cannot stand in a token (a nonce that is too long, a float that is not
    /// finite).
    pub fn sign(self, issuer: &Issuer) -> Result<Delegation, SignError> {
        let signer = issuer.signer();
        let unsigned = self.prepare(issuer.did(), signer.algorithm())?;
        let signature = signer.try_sign(unsigned.bytes())?;
        // What is written is read like any other, so that nothing is issued that others would refuse.
        Ok(Delegation::decode(unsigned.assemble(&signature))?)
    }

    /// Leaves it to be signed elsewhere, with a key of its issuer's.
    ///
    /// # Errors
    ///
    /// When it holds what DAG-CBOR cannot say (a float that is not finite).
    pub fn prepare(self, issuer: &Did, algorithm: SignatureAlgorithm) -> Result<Unsigned, SignError> {
        let text = |text: &str| Ipld::String(text.to_owned());
        let time = |time: Timestamp| Ipld::Integer(i128::from(time.as_secs()));
        let mut payload = BTreeMap::from([
            ("iss".to_owned(), text(issuer.as_str())),
            ("aud".to_owned(), text(self.audience.as_str())),
            ("sub".to_owned(), self.subject.map_or(Ipld::Null, |subject| text(subject.as_str()))),
            ("cmd".to_owned(), text(self.command.as_str())),
            ("pol".to_owned(), self.policy.to_ipld()),
            ("nonce".to_owned(), Ipld::Bytes(self.nonce)),
            ("exp".to_owned(), self.expiration.map_or(Ipld::Null, time)),
        ]);
        payload.extend(self.not_before.map(|not_before| ("nbf".to_owned(), time(not_before))));
        if !self.meta.is_empty() {
            payload.insert("meta".to_owned(), Ipld::Map(self.meta));
        }
        Unsigned::new(self.tag, payload, algorithm)
    }
}
