//! Denials of SubjectAccessReviews, remembered for a moment: a pod that is refused is often created again at once by its
//! controller, and each refusal asks the API server up to four times.
//!
//! A question is asked once for all reviews that wait for its answer. Of the answers only denials are remembered, and
//! for [`KEPT`] from the moment of the question: for that time at most, a grant is not noticed. Grants by RBAC that the
//! watches have told are noticed at once, since each event makes all denials forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authorization::v1::SubjectAccessReviewSpec;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

/// Time for which a denial is remembered.
const KEPT: Duration = Duration::from_secs(1);
/// Maximum number of questions remembered.
const MOST: usize = 1_024;

/// The answer of the cluster's authorizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Granted,
    Denied,
    /// The API server did not answer, or an authorizer failed.
    Unknown,
}

/// A digest of all that is asked: every field of the review may decide.
type Question = [u8; 32];

/// A question, and its answer once there is one.
struct Asked {
    at: Instant,
    answer: Arc<OnceCell<Answer>>,
}

impl Asked {
    /// Whether its answer, or the one to come, is good for a review that begins now.
    fn counts(&self, now: Instant) -> bool {
        let is_open = self.answer.get().is_none_or(|answer| *answer == Answer::Denied);
        is_open && now.saturating_duration_since(self.at) < KEPT
    }
}

/// The denials, and the questions in flight.
#[derive(Clone, Default)]
pub(crate) struct Denials(Arc<Mutex<HashMap<Question, Asked>>>);

impl Denials {
    /// The remembered denial, the answer that another review waits for, or that of `ask`.
    pub(crate) async fn answer(
        &self,
        spec: &SubjectAccessReviewSpec,
        ask: impl Future<Output = Answer>,
    ) -> Answer {
        let Ok(text) = serde_json::to_vec(spec) else { return Answer::Unknown };
        let answer = self.slot(Sha256::digest(text).into(), Instant::now());
        *answer.get_or_init(|| ask).await
    }

    /// Forgets everything: the rights of the cluster have changed. Questions in flight are answered to those who have
    /// asked them, and to nobody else.
    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    /// The place of a question's answer, which is empty while nobody has got one.
    fn slot(&self, question: Question, now: Instant) -> Arc<OnceCell<Answer>> {
        let mut asked = self.lock();
        if let Some(known) = asked.get(&question).filter(|known| known.counts(now)) {
            return Arc::clone(&known.answer);
        }
        if asked.len() >= MOST {
            asked.retain(|_, known| known.counts(now));
        }
        let answer = Arc::default();
        if asked.len() < MOST {
            asked.insert(question, Asked { at: now, answer: Arc::clone(&answer) });
        }
        answer
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Question, Asked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::authorization::v1::ResourceAttributes;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn spec(user: &str) -> SubjectAccessReviewSpec {
        SubjectAccessReviewSpec { user: Some(user.to_owned()), ..SubjectAccessReviewSpec::default() }
    }

    #[tokio::test]
    async fn reviews_at_once_share_a_question() {
        let (denials, asked) = (Denials::default(), AtomicUsize::new(0));
        let spec = spec("alice");
        let review = || {
            denials.answer(&spec, async {
                asked.fetch_add(1, Ordering::AcqRel);
                tokio::task::yield_now().await;
                Answer::Granted
            })
        };
        let answers = futures::future::join_all((0..50).map(|_| review())).await;
        assert!(answers.iter().all(|answer| *answer == Answer::Granted));
        assert_eq!(asked.load(Ordering::Acquire), 1);
        // A grant is asked for again: it may be withdrawn.
        review().await;
        assert_eq!(asked.load(Ordering::Acquire), 2);
    }

    /// The first to ask may have to answer sooner than the others, or be gone.
    #[tokio::test]
    async fn a_question_whose_asker_has_left_is_asked_by_the_next() {
        let (denials, spec) = (Denials::default(), spec("alice"));
        let mut first = Box::pin(denials.answer(&spec, std::future::pending()));
        assert!(futures::poll!(&mut first).is_pending());
        let mut second = Box::pin(denials.answer(&spec, async { Answer::Denied }));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(second.await, Answer::Denied);
    }

    #[tokio::test]
    async fn every_field_of_a_question_counts() {
        let resource = |name: &str, namespace: &str| {
            Some(ResourceAttributes {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ResourceAttributes::default()
            })
        };
        let extra = |value: &str| Some(BTreeMap::from([("scopes".to_owned(), vec![value.to_owned()])]));
        let bob =
            || SubjectAccessReviewSpec { resource_attributes: resource("privileged", "dev"), ..spec("bob") };
        let denials = Denials::default();
        assert_eq!(denials.answer(&bob(), async { Answer::Denied }).await, Answer::Denied);
        assert_eq!(denials.answer(&bob(), async { Answer::Granted }).await, Answer::Denied);
        for other in [
            SubjectAccessReviewSpec { user: Some("eve".to_owned()), ..bob() },
            SubjectAccessReviewSpec { uid: Some("1".to_owned()), ..bob() },
            SubjectAccessReviewSpec { groups: Some(vec!["staff".to_owned()]), ..bob() },
            SubjectAccessReviewSpec { extra: extra("user:full"), ..bob() },
            SubjectAccessReviewSpec { extra: extra("user:info"), ..bob() },
            SubjectAccessReviewSpec { resource_attributes: resource("anyuid", "dev"), ..bob() },
            SubjectAccessReviewSpec { resource_attributes: resource("privileged", "prod"), ..bob() },
        ] {
            assert_eq!(denials.answer(&other, async { Answer::Granted }).await, Answer::Granted, "{other:?}");
        }
    }

    #[test]
    fn only_denials_are_remembered_and_not_for_long() {
        let began = Instant::now();
        let short = KEPT - Duration::from_millis(1);
        for (case, answer, later, is_remembered) in [
            ("in flight", None, Duration::ZERO, true),
            ("in flight for too long", None, KEPT, false),
            ("denied", Some(Answer::Denied), short, true),
            ("denied long ago", Some(Answer::Denied), KEPT, false),
            ("granted", Some(Answer::Granted), Duration::ZERO, false),
            ("without an answer", Some(Answer::Unknown), Duration::ZERO, false),
        ] {
            let denials = Denials::default();
            let first = denials.slot([1; 32], began);
            answer.into_iter().for_each(|answer| first.set(answer).unwrap());
            let second = denials.slot([1; 32], began + later);
            assert_eq!(Arc::ptr_eq(&first, &second), is_remembered, "{case}");
            assert!(!Arc::ptr_eq(&second, &denials.slot([2; 32], began + later)), "{case}: another question");
            denials.forget();
            assert!(!Arc::ptr_eq(&second, &denials.slot([1; 32], began + later)), "{case}: forgotten");
        }
    }

    #[test]
    fn questions_without_number_take_no_memory() {
        let question = |index: usize| {
            let mut question = [0; 32];
            question[..8].copy_from_slice(&index.to_le_bytes());
            question
        };
        let (denials, began) = (Denials::default(), Instant::now());
        let first = denials.slot(question(0), began);
        (1..3 * MOST).for_each(|index| drop(denials.slot(question(index), began)));
        assert_eq!(denials.lock().len(), MOST);
        assert!(Arc::ptr_eq(&first, &denials.slot(question(0), began)), "the first are kept");
        drop(denials.slot(question(3 * MOST), began + KEPT));
        assert_eq!(denials.lock().len(), 1, "the old ones make room");
    }
}
