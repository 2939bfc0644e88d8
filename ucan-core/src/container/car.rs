//! From containers to archives and back.

use super::Container;
use crate::{
    Cid, block,
    car::{self, Car},
};

impl Container {
    /// An archive of the tokens under their CIDs, in the order of their CIDs.
    ///
    /// ```
    /// use ucan_core::{Container, block, car};
    ///
    /// let container = Container::from_iter([b"one".to_vec(), b"two".to_vec()]);
    /// let archive = container.to_car(&[block::dag_cbor_cid(b"one")]);
    /// let read = car::read(&archive, &car::CarLimits::default())?;
    /// assert_eq!(Container::from_car(&read), container);
    /// # Ok::<(), car::CarError>(())
    /// ```
    pub fn to_car(&self, roots: &[Cid]) -> Vec<u8> {
        car::write(roots, self.by_cid.iter().map(|(cid, token)| (cid, &**token)))
    }

    /// The tokens among the blocks of an archive: all blocks under CIDs as tokens have them, DAG-CBOR hashed with SHA2-256.
    ///
    /// Other blocks are left out. Blocks of DAG-CBOR that are no tokens are not told apart from tokens here, but by
    /// [`contents`](Self::contents).
    pub fn from_car(car: &Car<'_>) -> Self {
        car.blocks().filter(|(cid, bytes)| **cid == block::dag_cbor_cid(bytes)).map(|(_, bytes)| bytes).collect()
    }
}
