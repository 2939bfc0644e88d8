use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use ucan_core::{Did, StoreError, Token};
use ucan_invocation::{Receipt, ReceiptId, Trust};

use crate::engine::Shared;
use crate::{Engine, Forgotten, VerifyError};

/// How many results may wait to be computed again; while so many do, what is reused is not looked at.
const WAITING: usize = 1024;

/// A reused receipt that did not hold when its task was run again.
#[derive(Debug)]
pub struct Refuted {
    /// The receipt.
    pub receipt: ReceiptId,
    /// Who signed it, and is in quarantine since, unless it is the engine's own executor.
    pub signer: Did,
    /// What is wrong with it.
    pub error: VerifyError,
    /// What was taken out of the store for it.
    pub forgotten: Result<Forgotten, StoreError>,
}

/// Whom an engine no longer believes, and what it does to find out.
#[derive(Debug)]
pub(crate) struct Doubts {
    /// Of how many reused results one is computed again, as a share of `u32::MAX`.
    share: AtomicU32,
    /// By principal.
    quarantine: RwLock<BTreeMap<String, Did>>,
    checks: Mutex<Checks>,
    /// How often receipts were forgotten.
    forgotten: AtomicU64,
    /// Checks are made one at a time: they are to take nothing from what is asked for.
    turn: Semaphore,
}

#[derive(Debug, Default)]
struct Checks {
    under_way: JoinSet<Option<Refuted>>,
    refuted: Vec<Refuted>,
}

impl Default for Doubts {
    fn default() -> Self {
        let (share, quarantine, checks) = (AtomicU32::new(0), RwLock::default(), Mutex::default());
        Self { share, quarantine, checks, forgotten: AtomicU64::new(0), turn: Semaphore::new(1) }
    }
}

impl Doubts {
    fn checks(&self) -> MutexGuard<'_, Checks> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that receipts are about to be forgotten: what was found before is to be looked for again.
    pub(crate) fn forgets(&self) {
        self.forgotten.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that was noted.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Acquire)
    }

    fn is_in_quarantine(&self, did: &Did) -> bool {
        self.quarantine.read().unwrap_or_else(PoisonError::into_inner).contains_key(did.principal())
    }
}

impl Engine {
    /// From now on computes this share of the results that it reuses again, from 0 (none, as an engine does unless it is told
    /// otherwise) to 1 (all), in the background and one at a time. Who signed a receipt that does not hold is put into
    /// [quarantine](Engine::quarantine); [`Engine::checked`] says what was found. While very many wait to be computed, the others
    /// are not looked at.
    pub fn sample(&self, share: f64) {
        // From a float beyond its range, a cast gives the nearest integer.
        self.shared.doubts.share.store((share * f64::from(u32::MAX)) as u32, Ordering::Relaxed);
    }

    /// Waits for the results that are being computed again, and gives all receipts that did not hold since it was asked last.
    pub async fn checked(&self) -> Vec<Refuted> {
        let doubts = &self.shared.doubts;
        let mut under_way = std::mem::take(&mut doubts.checks().under_way);
        while let Some(checked) = under_way.join_next().await {
            doubts.checks().refuted.extend(checked.ok().flatten());
        }
        std::mem::take(&mut doubts.checks().refuted)
    }

    /// Believes nothing more that `signer` states, whatever the engine's trust says, and [forgets](Engine::forget) what it
    /// stated. The engine knows of it for as long as it lives: a host that opens another on the same store says it again. An
    /// engine's own executor cannot be put into quarantine; what it stated is forgotten all the same.
    ///
    /// # Errors
    /// [`StoreError`] as [`Engine::forget`]; the signer is in quarantine nevertheless.
    pub async fn quarantine(&self, signer: &Did) -> Result<Forgotten, StoreError> {
        if !signer.same_principal(self.parts().executor.did()) {
            let mut quarantine = self.shared.doubts.quarantine.write().unwrap_or_else(PoisonError::into_inner);
            quarantine.insert(signer.principal().to_owned(), signer.clone());
        }
        self.forget(signer).await
    }

    /// Who is in quarantine.
    #[must_use]
    pub fn in_quarantine(&self) -> Vec<Did> {
        let quarantine = self.shared.doubts.quarantine.read().unwrap_or_else(PoisonError::into_inner);
        quarantine.values().cloned().collect()
    }

    async fn compute_again(self, receipt: Receipt) -> Option<Refuted> {
        let _turn = self.shared.doubts.turn.acquire().await;
        let (id, signer) = (receipt.id(), receipt.issuer().clone());
        let error = self.verify(receipt).await.err().filter(VerifyError::refutes)?;
        let forgotten = if signer.same_principal(self.parts().executor.did()) {
            // Something of its own is wrong; what, is for people to find out.
            self.forget_receipts(vec![id]).await
        } else if self.shared.doubts.is_in_quarantine(&signer) {
            return None;
        } else {
            self.quarantine(&signer).await
        };
        Some(Refuted { receipt: id, signer, error, forgotten })
    }
}

impl Shared {
    /// Whose receipts are reused now.
    pub(crate) fn trust(&self) -> Cow<'_, Trust> {
        let quarantine = self.doubts.quarantine.read().unwrap_or_else(PoisonError::into_inner);
        if quarantine.is_empty() {
            return Cow::Borrowed(&self.parts.trust);
        }
        Cow::Owned(self.parts.trust.without(&|did| quarantine.contains_key(did.principal())))
    }

    /// Has a result that is reused computed again, if it is its turn.
    pub(crate) fn sample(self: &Arc<Self>, known: &Receipt) {
        let share = self.doubts.share.load(Ordering::Relaxed);
        if share == 0 {
            return;
        }
        let mut chance = [0; 4];
        self.parts.entropy.fill(&mut chance);
        if u32::from_le_bytes(chance) > share {
            return;
        }
        let mut checks = self.doubts.checks();
        while let Some(checked) = checks.under_way.try_join_next() {
            checks.refuted.extend(checked.ok().flatten());
        }
        if checks.under_way.len() < WAITING {
            checks.under_way.spawn(Engine { shared: self.clone() }.compute_again(known.clone()));
        }
    }
}
