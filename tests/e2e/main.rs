//! End to end: a real attester and real peers, honest and hostile, over real sockets.

mod admit;
mod captures;
mod crowd;
mod demo;
mod evidence;
mod fronted;
mod help;
mod hostile;
mod keys;
mod layering;
mod lifecycle;
mod operator;
mod probing;
mod readme;
mod refuse;
mod relay;
mod resumption;
mod succession;
mod vectors;
