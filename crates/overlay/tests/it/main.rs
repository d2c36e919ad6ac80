//! The overlays in small networks, under liars, and against the papers.
//!
//! One program for all of them: a test program of its own for each file would be linked apart.

mod addresses;
mod commands;
mod gossip;
mod hostile;
mod net;
mod network;
mod papers;
mod ring_life;
mod rings;
mod search_hostile;
mod sim;
mod swim;
mod unstructured;
mod vivaldi;
