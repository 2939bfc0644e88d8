//! Keys that are written as JSON Web Keys (RFC 7517, 7518, 8037, 8812).

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, de::IgnoredAny};
use varsig::{PublicKey, PublicKeyError};

/// What is read of a JSON Web Key. Its `kty` is required; everything else depends on that.
#[derive(Deserialize)]
pub(crate) struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    /// The secret parts of every kind of key, and the whole of a symmetric one.
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
    dp: Option<IgnoredAny>,
    dq: Option<IgnoredAny>,
    qi: Option<IgnoredAny>,
    oth: Option<IgnoredAny>,
    #[serde(rename = "priv")]
    private: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
}

/// Curves: the name, the multicodec of public keys, and the length of a coordinate in bytes.
const CURVES: [(&str, u64, usize); 4] =
    [("P-256", 0x1200, 32), ("P-384", 0x1201, 48), ("P-521", 0x1202, 66), ("secp256k1", 0xe7, 32)];

const ED25519: u64 = 0xed;
const RSA: u64 = 0x1205;

impl Jwk {
    /// Whether it holds more than a public key.
    pub(crate) fn has_secret(&self) -> bool {
        let Self { d, p, q, dp, dq, qi, oth, private, k, .. } = self;
        [d, p, q, dp, dq, qi, oth, private, k].into_iter().any(Option::is_some)
    }

    /// The public key; nothing if it is not for signatures, or of a kind that makes none that tokens can have.
    ///
    /// Of `y` only the lowest bit is used: with `x`, it names the one point of the curve that both belong to, if there is one.
    pub(crate) fn public_key(&self) -> Result<Option<PublicKey>, JwkError> {
        if self.has_secret() {
            return Err(JwkError::Secret);
        }
        let for_others = self.usage.as_deref().is_some_and(|usage| usage != "sig");
        let cannot_verify = self.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify"));
        if for_others || cannot_verify {
            return Ok(None);
        }
        let key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => PublicKey::new(ED25519, coordinate("x", self.x.as_deref(), 32)?),
            ("EC", Some(curve)) => {
                let Some((_, code, length)) = CURVES.into_iter().find(|(name, ..)| *name == curve) else {
                    return Ok(None);
                };
                let x = coordinate("x", self.x.as_deref(), length)?;
                let y = coordinate("y", self.y.as_deref(), length)?;
                let sign = 2 | y.last().map_or(0, |byte| byte & 1);
                PublicKey::new(code, [&[sign], x.as_slice()].concat())
            }
            ("RSA", _) => {
                PublicKey::new(RSA, rsa_der(&member("n", self.n.as_deref())?, &member("e", self.e.as_deref())?))
            }
            _ => return Ok(None),
        };
        Ok(Some(key?))
    }
}

/// The bytes of a member.
fn member(name: &'static str, value: Option<&str>) -> Result<Vec<u8>, JwkError> {
    let value = value.ok_or(JwkError::Member { name })?;
    BASE64URL_NOPAD.decode(value.as_bytes()).map_err(|_| JwkError::Member { name })
}

/// A coordinate is written in full, with its leading zeros.
fn coordinate(name: &'static str, value: Option<&str>, length: usize) -> Result<Vec<u8>, JwkError> {
    let bytes = member(name, value)?;
    if bytes.len() == length { Ok(bytes) } else { Err(JwkError::Member { name }) }
}

/// `RSAPublicKey` of PKCS #1, in DER.
fn rsa_der(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    const INTEGER: u8 = 0x02;
    const SEQUENCE: u8 = 0x30;
    let integer = |bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let digits = bytes.get(zeros..).unwrap_or_default();
        // Without a zero in front it would be negative.
        let front: &[u8] = if digits.first().is_none_or(|byte| *byte >= 0x80) { &[0] } else { &[] };
        der(INTEGER, &[front, digits].concat())
    };
    der(SEQUENCE, &[integer(modulus), integer(exponent)].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    let digits = length.get(zeros..).unwrap_or_default();
    let mut out = vec![tag];
    match digits {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        _ => {
            out.push(0x80 | digits.len() as u8);
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(content);
    out
}

/// Why a JSON Web Key is not a public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwkError {
    /// It holds a secret, which everybody knows now.
    #[error("it holds a secret key")]
    Secret,
    /// A member is missing, not base64url without padding, or of another length than this kind of key has.
    #[error("its member `{name}` is missing or malformed")]
    Member {
        /// The member.
        name: &'static str,
    },
    /// What it holds is not a key.
    #[error(transparent)]
    Key(#[from] PublicKeyError),
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use ucan_core::Did;

    use super::*;

    fn read(jwk: serde_json::Value) -> Result<Option<PublicKey>, JwkError> {
        serde_json::from_value::<Jwk>(jwk).unwrap().public_key()
    }

    #[test]
    fn published_keys() {
        // Test vectors of the did:key method, and RFC 8037, appendix A.2.
        for (jwk, did) in [
            (
                json!({"kty": "EC", "crv": "P-256", "x": "igrFmi0whuihKnj9R3Om1SoMph72wUGeFaBbzG2vzns", "y": "efsX5b10x8yjyrj4ny3pGfLcY7Xby1KzgqOdqnsrJIM"}),
                "did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv",
            ),
            (
                json!({"kty": "EC", "crv": "P-384", "x": "lInTxl8fjLKp_UCrxI0WDklahi-7-_6JbtiHjiRvMvhedhKVdHBfi2HCY8t_QJyc", "y": "y6N1IC-2mXxHreETBW7K3mBcw0qGr3CWHCs-yl09yCQRLcyfGv7XhqAngHOu51Zv"}),
                "did:key:z82Lm1MpAkeJcix9K8TMiLd5NMAhnwkjjCBeWHXyu3U4oT2MVJJKXkcVBgjGhnLBn2Kaau9",
            ),
            (
                json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "use": "sig", "key_ops": ["verify"]}),
                "did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw",
            ),
            (
                json!({"kty": "RSA", "e": "AQAB", "n": "sbX82NTV6IylxCh7MfV4hlyvaniCajuP97GyOqSvTmoEdBOflFvZ06kR_9D6ctt45Fk6hskfnag2GG69NALVH2o4RCR6tQiLRpKcMRtDYE_thEmfBvDzm_VVkOIYfxu-Ipuo9J_S5XDNDjczx2v-3oDh5-CIHkU46hvFeCvpUS-L8TJSbgX0kjVk_m4eIb9wh63rtmD6Uz_KBtCo5mmR4TEtcLZKYdqMp3wCjN-TlgHiz_4oVXWbHUefCEe8rFnX1iQnpDHU49_SaXQoud1jCaexFn25n-Aa8f8bc5Vm-5SeRwidHa6ErvEhTvf1dz6GoNPp2iRvm-wJ1gxwWJEYPQ"}),
                "did:key:z4MXj1wBzi9jUstyPMS4jQqB6KdJaiatPkAtVtGc6bQEQEEsKTic4G7Rou3iBf9vPmT5dbkm9qsZsuVNjq8HCuW1w24nhBFGkRE4cd2Uf2tfrB3N7h4mnyPp1BF3ZttHTYv3DLUPi1zMdkULiow3M1GfXkoC6DoxDUm1jmN6GBj22SjVsr6dxezRVQc7aj9TxE7JLbMH1wh5X3kA58H3DFW8rnYMakFGbca5CB2Jf6CnGQZmL7o5uJAdTwXfy2iiiyPxXEGerMhHwhjTA1mKYobyk2CpeEcmvynADfNZ5MBvcCS7m3XkFCMNUYBS9NQ3fze6vMSUPsNa6GVYmKx2x6JrdEjCk3qRMMmyjnjCMfR4pXbRMZa3i",
            ),
        ] {
            let key = did.parse::<Did>().unwrap().public_key().unwrap();
            assert_eq!(read(jwk), Ok(Some(key)));
        }
    }

    #[test]
    fn kinds_of_no_use_are_passed_over() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        for jwk in [
            json!({"kty": "OKP", "crv": "X25519", "x": x}),
            json!({"kty": "OKP"}),
            json!({"kty": "EC", "crv": "brainpoolP256r1", "x": x, "y": x}),
            json!({"kty": "EC", "crv": "P-256", "x": x, "y": x, "use": "enc"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": x, "key_ops": ["deriveKey"]}),
            json!({"kty": "AKP", "alg": "ML-DSA-44"}),
        ] {
            assert_eq!(read(jwk.clone()), Ok(None), "{jwk}");
        }
    }

    #[test]
    fn malformed_ones_are_refused() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let member = |name| Err(JwkError::Member { name });
        assert_eq!(read(json!({"kty": "OKP", "crv": "Ed25519", "x": x, "d": x})), Err(JwkError::Secret));
        assert_eq!(read(json!({"kty": "oct", "k": x})), Err(JwkError::Secret));
        for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "priv"] {
            for jwk in [json!({"kty": "RSA", "n": x, "e": "AQAB"}), json!({"kty": "AKP"}), json!({"kty": "new"})] {
                let mut jwk = jwk;
                jwk[name] = json!([x]);
                assert_eq!(read(jwk), Err(JwkError::Secret), "{name}");
            }
        }
        assert_eq!(read(json!({"kty": "OKP", "crv": "Ed25519"})), member("x"));
        assert_eq!(read(json!({"kty": "OKP", "crv": "Ed25519", "x": &x[1..]})), member("x"));
        assert_eq!(read(json!({"kty": "OKP", "crv": "Ed25519", "x": format!("{x}=")})), member("x"));
        // The last letter carries bits that are no part of the key.
        assert_eq!(read(json!({"kty": "OKP", "crv": "Ed25519", "x": x.replace("URo", "URp")})), member("x"));
        assert_eq!(read(json!({"kty": "EC", "crv": "P-256", "x": x})), member("y"));
        assert_eq!(read(json!({"kty": "EC", "crv": "P-384", "x": x, "y": x})), member("x"));
        assert_eq!(read(json!({"kty": "RSA", "n": x})), member("e"));
        assert!(matches!(read(json!({"kty": "RSA", "n": "", "e": "AQAB"})), Err(JwkError::Key(_))));
    }
}
