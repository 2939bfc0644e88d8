//! Effect handlers for files under a granted folder.
