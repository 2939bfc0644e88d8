//! Keys that were found a while ago.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use varsig::PublicKey;

use super::{DidResolver, KeyError, Purpose};
use crate::{Clock, Did, Timestamp};

/// How many answers are remembered. When there are more, the one that was given longest ago goes.
const ANSWERS: usize = 1024;

/// A resolver that remembers for a while what another one found. Failures are not remembered.
///
/// A key that the principal takes out of its document is accepted until that time has passed: it is how long a stolen key can be
/// used after it has been reported.
///
/// ```
/// use std::sync::Arc;
/// use ucan_core::{CachedResolver, Resolvers, SystemClock};
///
/// // For five minutes.
/// let resolver = CachedResolver::new(Resolvers::new(), Arc::new(SystemClock), 300);
/// # let _ = resolver;
/// ```
#[derive(Debug)]
pub struct CachedResolver<R> {
    inner: R,
    clock: Arc<dyn Clock>,
    seconds: u64,
    answers: Mutex<BTreeMap<(Did, Purpose), Answer>>,
}

#[derive(Debug)]
struct Answer {
    at: Timestamp,
    keys: Vec<PublicKey>,
}

impl<R: DidResolver> CachedResolver<R> {
    /// Remembers the answers of `inner` for so many seconds.
    pub fn new(inner: R, clock: Arc<dyn Clock>, seconds: u64) -> Self {
        Self { inner, clock, seconds, answers: Mutex::default() }
    }

    fn answers(&self) -> MutexGuard<'_, BTreeMap<(Did, Purpose), Answer>> {
        // A panic elsewhere cannot leave keys under the wrong name.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, question: &(Did, Purpose)) -> Option<Vec<PublicKey>> {
        let now = self.clock.now();
        let answers = self.answers();
        let answer = answers.get(question)?;
        // An answer from the future means that the clock was set back: nobody knows how old it is.
        let fresh = answer.at <= now && now <= answer.at.saturating_add(self.seconds);
        fresh.then(|| answer.keys.clone())
    }

    fn remember(&self, question: (Did, Purpose), at: Timestamp, keys: &[PublicKey]) {
        let mut answers = self.answers();
        if answers.len() >= ANSWERS && !answers.contains_key(&question) {
            let oldest = answers.iter().min_by_key(|(_, answer)| answer.at).map(|(question, _)| question.clone());
            oldest.and_then(|oldest| answers.remove(&oldest));
        }
        answers.insert(question, Answer { at, keys: keys.to_vec() });
    }
}

#[async_trait]
impl<R: DidResolver> DidResolver for CachedResolver<R> {
    async fn resolve(&self, did: &Did, purpose: Purpose) -> Result<Vec<PublicKey>, KeyError> {
        let question = (did.clone(), purpose);
        if let Some(keys) = self.known(&question) {
            return Ok(keys);
        }
        // The time before the question: what changed while the answer was under way may not be in it.
        let at = self.clock.now();
        let keys = self.inner.resolve(did, purpose).await?;
        self.remember(question, at, &keys);
        Ok(keys)
    }

    async fn resolve_all(&self, questions: &[(&Did, Purpose)]) -> Vec<Result<Vec<PublicKey>, KeyError>> {
        let owned = |(did, purpose): &(&Did, Purpose)| ((*did).clone(), *purpose);
        let mut answers: Vec<_> = questions.iter().map(|question| self.known(&owned(question)).map(Ok)).collect();
        let is_open = |(_, answer): &(_, &Option<_>)| answer.is_none();
        let open: Vec<_> =
            questions.iter().copied().zip(&answers).filter(is_open).map(|(question, _)| question).collect();
        if !open.is_empty() {
            let at = self.clock.now();
            let found = self.inner.resolve_all(&open).await;
            let places = answers.iter_mut().filter(|answer| answer.is_none());
            for ((place, question), answer) in places.zip(&open).zip(found) {
                if let Ok(keys) = &answer {
                    self.remember(owned(question), at, keys);
                }
                *place = Some(answer);
            }
        }
        let missing = |(did, _): &(&Did, _)| KeyError::unanswered(did);
        answers
            .into_iter()
            .zip(questions)
            .map(|(answer, question)| answer.unwrap_or_else(|| Err(missing(question))))
            .collect()
    }
}
