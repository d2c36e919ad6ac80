//! The kinds of network, in words.

use super::Kind;

/// In the order in which they came into the world.
pub static KINDS: [Kind; 4] = [
    Kind {
        name: "central index",
        protocol: "central",
        examples: "Napster, 1999",
        words: &[
            "One machine, the index, knows who has what. Everybody tells it what they have, and whoever searches asks \
             it. The files themselves go from peer to peer.",
            "A search is one question and one answer, however many nodes there are, and finds whatever there is. But \
             all of it goes through one machine, which must grow with the network, and which can fail or be switched \
             off. Napster's was, by a court, in 2001.",
        ],
        picture: "    A    B    C\n     \\   |   /\n      [index]\n     /   |   \\\n    D    E    F\n",
        shows: "Six nodes, each connected to the index and to nobody else.",
        trouble: "the index is switched off, and a node finds only what it has itself",
        trouble_toml: "settings = { server_fails_s = 365 }",
        lesson: "Easy and cheap; one machine is enough to end it.",
    },
    Kind {
        name: "pure",
        protocol: "flooding",
        examples: "Gnutella, 2000",
        words: &[
            "All nodes are equal, and there is no index at all. A node knows a few others. It sends a query to each of \
             them, they pass it on to those that they know, and so on, for seven steps: a flood.",
            "There is no place whose loss would hurt, and nothing to repair. The price is that a flood reaches \
             everybody near, whether or not they can help: with each node more, every search gets dearer. A large \
             network must let floods end early, and then rare things are missed.",
        ],
        picture: "    A---B---C\n    |\\  |  /|\n    | \\ | / |\n    D---E---F\n",
        shows: "Six nodes, connected to some of the others, in no order.",
        trouble: "3 in 10 nodes vanish at once",
        trouble_toml: VANISH,
        lesson: "Hard to destroy; every search is everybody's work.",
    },
    Kind {
        name: "hybrid",
        protocol: "superpeer",
        examples: "KaZaA and Gnutella's ultrapeers, 2001",
        words: &[
            "Nodes that are strong and stay for long become superpeers. The others are leaves: each tells a few \
             superpeers what it has, and asks them. Superpeers flood queries, but only among themselves, and hand them \
             to a leaf only when it may have what is wanted.",
            "So there are many small indexes instead of one. Most nodes do next to nothing for others; the superpeers \
             carry nearly all. When one of them goes, its leaves have others, and look for a new one.",
        ],
        picture: "  a  b     c  d\n   \\ |     | /\n    [S1]--[S2]\n      \\   /\n      [S3]\n      / | \\\n     e  f  g\n",
        shows: "Three superpeers, connected to each other, with two or three leaves each.",
        trouble: "3 in 10 nodes vanish at once",
        trouble_toml: VANISH,
        lesson: "Cheaper than a flood; it lives by the strong.",
    },
    Kind {
        name: "structured",
        protocol: "kademlia",
        examples: "Kademlia, 2002; BitTorrent's DHT since 2005",
        words: &[
            "Every node has a number, and so has every object. The nodes whose numbers are closest to an object's keep \
             the note of who has it. So it is known beforehand where a note must be, and the question is only how to \
             get there.",
            "A node knows many others near its own number and a few far away. It asks the closest ones to the target \
             that it knows; those name closer ones; each step at least halves what is left. Therefore a network of \
             twice the size takes about one step more at most, not twice the work. One must know the exact number: words, as \
             in the other kinds, cannot be searched for.",
        ],
        picture: "    0        target\n    |---A-------B--C-D-------E---|\n        |       ^  ^\n        +-------+  |   A asks B,\n                +--+   B names C\n",
        shows: "Nodes on a line of numbers: the searching node asks one that is closer to the target, which names one that is closer still.",
        trouble: "3 in 10 nodes vanish at once",
        trouble_toml: VANISH,
        lesson: "Cheap at any size, without a centre; only exact keys.",
    },
];

/// Just before the searches begin.
const VANISH: &str = "[[fault]]\nkind = \"crash\"\nat_s = 5\nshare = 0.3";
