//! Proof chains among a few principals.

use std::{collections::HashSet, sync::OnceLock};

use ucan_core::{
    Authority, CachedKeys, Cid, Command, Context, Delegation, DelegationStore, Did, DidKeys, FindError, Ipld, Issuer,
    MemoryDelegations, Policy, Request, Timestamp, check_attenuation, dagjson, diagnose, explain, find, search,
    validate,
};
use ucan_invocation::{Invocation, InvocationError, authorize};

use super::choices::{Choices, issuer};

const NOW: u64 = 1_767_225_600;
const PRINCIPALS: usize = 4;

/// What all cases are made of.
struct World {
    issuers: Vec<Issuer>,
    commands: Vec<Command>,
    policies: Vec<Policy>,
    args: Vec<Ipld>,
    /// Signatures that were checked before; what is remembered is part of what is tested.
    keys: CachedKeys<DidKeys>,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let json = |json: &str| dagjson::decode(json.as_bytes()).expect("valid");
        let link = r#"{"/":"bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"}"#;
        World {
            issuers: (0..PRINCIPALS as u8).map(issuer).collect(),
            commands: ["/", "/a", "/a/b", "/ab"].map(|text| Command::parse(text).expect("valid")).into(),
            policies: [r#"[]"#, r#"[["==",".n",1]]"#, r#"[["like",".s","x*"]]"#, r#"[["not",["==",".n",1]]]"#]
                .map(|policy| Policy::parse(&json(policy)).expect("valid"))
                .into(),
            args: [r#"{}"#, r#"{"n":1,"s":"xy"}"#, r#"{"n":2,"s":"xy"}"#, &format!(r#"{{"n":{link},"s":"xy"}}"#)]
                .map(json)
                .into(),
            keys: CachedKeys::new(DidKeys),
        }
    })
}

/// A request is authorised if and only if some of the delegations, in some order, authorise it: what is found is valid and as
/// short as can be, and whatever says more about a chain says the same about it.
pub fn chain(data: &[u8]) {
    let (mut choices, world) = (Choices::new(data), world());
    let mut revoked = HashSet::new();
    let grants: Vec<_> = (0..choices.below(6)).map(|_| grant(&mut choices, world, &mut revoked)).collect();
    let (invoker, subject) = (choices.pick_ref(&world.issuers), choices.pick_ref(&world.issuers));
    let (command, args) = (choices.pick_ref(&world.commands), choices.pick_ref(&world.args));
    let request = Request { invoker: invoker.did(), subject: subject.did(), command, args };
    let mut ctx = Context::new(Timestamp::from_secs(NOW).expect("in range"), &world.keys);
    let is_revoked = |cid: &Cid, _: &Did| revoked.contains(cid);
    ctx.revoked = Some(&is_revoked);
    ctx.pending = &|value| matches!(value, Ipld::Link(_));

    let mut best = None;
    let mut order = Vec::new();
    every_order(&grants, &mut order, &mut |chain| {
        if let Ok(authority) = agreed(&request, chain, &ctx) {
            let rank = (authority.undecided(), chain.len());
            best = best.filter(|best| *best <= rank).or(Some(rank));
        }
    });

    let found = search(&request, &grants, &ctx);
    assert_eq!(found.as_ref().ok().map(rank), best, "{request:?} among {grants:?}");
    let mut shuffled = grants.clone();
    shuffled.reverse();
    shuffled.extend(grants.first().cloned());
    assert_eq!(search(&request, &shuffled, &ctx), found);
    assert_eq!(in_a_store(&request, &grants, &ctx), found.clone().ok());
    match found {
        Ok(authority) => {
            let proofs: Vec<_> = authority.proofs().iter().map(|cid| by_cid(&grants, cid)).collect();
            assert_eq!(validate(&request, &proofs, &ctx), Ok(authority.clone()), "what is found is valid");
            // With keys that remember nothing as well.
            let plain = Context { keys: &DidKeys, ..ctx };
            assert_eq!(validate(&request, &proofs, &plain), Ok(authority.clone()));
            invoked(&request, &authority, invoker, &grants, &ctx);
        }
        Err(none) => {
            assert!(!none.to_string().is_empty());
            assert!(none.closest().is_none_or(|(cid, _)| grants.iter().any(|grant| grant.cid() == cid)));
        }
    }
}

fn rank(authority: &Authority) -> (bool, usize) {
    (authority.undecided(), authority.proofs().len())
}

fn grant(choices: &mut Choices<'_>, world: &World, revoked: &mut HashSet<Cid>) -> Delegation {
    let (from, to) = (choices.pick_ref(&world.issuers), choices.pick_ref(&world.issuers));
    let subject = match choices.below(5) {
        4 => None,
        number => Some(world.issuers[number].did().clone()),
    };
    let with_fragment = |did: &Did| Did::parse(&format!("{did}#k")).expect("a fragment may follow");
    let audience = if choices.rarely(8) { with_fragment(to.did()) } else { to.did().clone() };
    let times = [None, Some(NOW - 61), Some(NOW - 60), Some(NOW + 60), Some(NOW + 61), Some(NOW + 1000)];
    let time = |secs: Option<u64>| secs.and_then(Timestamp::from_secs);
    let builder = Delegation::builder(audience, subject, choices.pick_ref(&world.commands).clone())
        .policy(choices.pick_ref(&world.policies).clone())
        .expiration(time(if choices.flag() { None } else { choices.pick(&times) }))
        .not_before(time(if choices.flag() { None } else { choices.pick(&times) }))
        .nonce([choices.byte() % 2]);
    let signed = if choices.rarely(8) {
        // Somebody else's signature.
        let signer = choices.pick_ref(&world.issuers);
        let unsigned = builder.prepare(from.did(), signer.signer().algorithm()).expect("all of it can be said");
        let signature = signer.signer().try_sign(unsigned.bytes()).expect("a software key signs");
        Delegation::decode(unsigned.assemble(&signature)).expect("a signature is not looked at")
    } else {
        builder.sign(from).expect("a software key signs")
    };
    match choices.below(16) {
        15 => drop(revoked.insert(*signed.cid())),
        14 => drop(revoked.insert(ucan_core::Token::envelope(&signed).signed_cid())),
        _ => {}
    }
    signed
}

/// What `validate` says, which is what all others have to say.
fn agreed(request: &Request<'_>, chain: &[Delegation], ctx: &Context<'_>) -> Result<Authority, ()> {
    let result = validate(request, chain, ctx);
    // Telling more takes far longer, and long chains have nothing to tell that short ones have not.
    if chain.len() > 2 && result.is_err() {
        return result.map_err(drop);
    }
    let errors = diagnose(request, chain, ctx);
    assert_eq!(errors.first(), result.as_ref().err(), "{request:?} with {chain:?}");
    let explanation = explain(request, chain, ctx);
    assert_eq!(explanation.authorised(), result.is_ok());
    assert_eq!(explanation.errors, errors);
    let _ = (explanation.to_string(), explanation.to_ipld(), check_attenuation(chain));
    if let Ok(authority) = &result {
        assert_eq!((authority.invoker(), authority.subject()), (request.invoker, request.subject));
        assert!(authority.proofs().iter().eq(chain.iter().map(Delegation::cid)));
        assert_eq!(authority.expiration(), chain.iter().filter_map(Delegation::expiration).min());
        assert_eq!(explanation.undecided, authority.undecided());
    }
    result.map_err(drop)
}

/// Every choice of some of the delegations, in every order. A chain that passes each principal once is not longer than there are
/// principals.
fn every_order(grants: &[Delegation], chain: &mut Vec<Delegation>, visit: &mut dyn FnMut(&[Delegation])) {
    visit(chain);
    for grant in grants {
        if chain.len() < PRINCIPALS && !chain.contains(grant) {
            chain.push(grant.clone());
            every_order(grants, chain, visit);
            chain.pop();
        }
    }
}

fn by_cid(grants: &[Delegation], cid: &Cid) -> Delegation {
    grants.iter().find(|grant| grant.cid() == cid).expect("what is found was given").clone()
}

fn in_a_store(request: &Request<'_>, grants: &[Delegation], ctx: &Context<'_>) -> Option<Authority> {
    pollster::block_on(async {
        let store = MemoryDelegations::new();
        for grant in grants {
            store.put(grant).await.expect("memory does not fail");
        }
        match find(&store, request, ctx).await {
            Ok(found) => {
                assert!(found.proofs.iter().map(Delegation::cid).eq(found.authority.proofs()));
                Some(found.authority)
            }
            Err(FindError::NoChain(_)) => None,
            Err(error) => panic!("memory does not fail: {error}"),
        }
    })
}

/// An invocation with these proofs is authorised, for its executor alone, and not when somebody else signs it.
fn invoked(request: &Request<'_>, authority: &Authority, invoker: &Issuer, grants: &[Delegation], ctx: &Context<'_>) {
    let Ipld::Map(args) = request.args else { return };
    let build = || {
        Invocation::builder(request.subject.clone(), request.command.clone(), args.clone())
            .proofs(authority.proofs().to_vec())
    };
    let proofs = |cid: &Cid| grants.iter().find(|grant| grant.cid() == cid).cloned();
    let signed = build().sign(invoker).expect("a software key signs");
    let authorized = authorize(signed.clone(), request.subject, &proofs, ctx).expect("the chain was valid");
    assert_eq!(authorized.authority(), authority);
    let stranger = issuer(9);
    let misaddressed = authorize(signed.clone(), stranger.did(), &proofs, ctx).expect_err("it is for the subject");
    assert!(matches!(misaddressed, InvocationError::Misaddressed { .. }));
    if !authority.proofs().is_empty() {
        let nothing = authorize(signed, request.subject, &|_| None, ctx).expect_err("no proof is at hand");
        assert_eq!(nothing.name(), "UnavailableProof");
    }
    let stolen = build().sign(&stranger).expect("a software key signs");
    assert!(authorize(stolen, request.subject, &proofs, ctx).is_err(), "another invoker");
}
