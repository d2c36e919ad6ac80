// What the page says, by language. Each language has the same keys; `{x}` stands for a value.
// A new language: one more entry of `CATALOGUE`; right-to-left ones also go into `RIGHT_TO_LEFT`.
const en = {
  language: "English", skip: "Skip to content", nav: "Main", transfers: "Transfers", home: "Home", network: "Network", settings: "Settings",
  diagnostics: "Diagnostics", cancel: "Cancel", close: "Close", add: "Add", share: "Share", pause: "Pause", resume: "Resume",
  remove: "Remove", details: "Details", recheck: "Check again", back: "Back to transfers", search: "Search by name", state: "State", all: "All",
  name: "Name", progress: "Done", down: "Down", up: "Up", eta: "Left", ratio: "Ratio", peers: "Peers", size: "Size",
  queued: "Queued", checking: "Checking", metadata: "Finding out what it is", downloading: "Downloading", seeding: "Seeding", paused: "Paused", moving: "Moving", error: "Error",
  no_answer: "The daemon does not answer. Is it running? `peerage daemon` starts it", offline: "No answer from the daemon; trying again.", online_again: "The daemon answers again.",
  many_news: "{n} new messages", login: "Open this page with a link", login_text: "The daemon wants to know that it is you. Print a link that opens this page, and follow it:",
  login_bad: "This link was used before, or is too old. Print a new one:", login_token: "Or enter an API token", enter: "Enter",
  none: "No transfers yet", none_text: "Add a magnet link or a .torrent file, drop a .torrent file here, or share a file of your own.", none_match: "Nothing matches. Change the search or the state.",
  add_title: "Add a download", link: "Magnet link, infohash, or address of a .torrent file", or_file: "Or a .torrent file", folder: "Folder", folder_help: "Empty: the daemon's own, {folder}",
  add_paused: "Add it paused", sequential: "From the start to the end (for playing while it arrives)", added: "Added: {name}", add_nothing: "Enter a link or choose a file",
  share_title: "Share files of this machine", path: "Path on the daemon's machine", path_help: "Absolute, such as /home/me/film.mkv. It is shared in place and never changed.",
  sharing: "Reading the files: {part}", shared: "Shared: {name}", dropped_other: "Only .torrent files can be dropped here. To share a file, use Share with its path: browsers do not tell it.",
  remove_title: "Remove {n} transfers?", remove_one: "Remove “{name}”?", remove_data: "Also delete its files from the disk (cannot be undone)", remove_text: "The files stay unless you say otherwise.",
  removed_n: "Removed: {n}", paused_n: "Paused: {n}", resumed_n: "Resumed: {n}", selected: "{n} selected", count: "{n} of {all} transfers",
  shortcuts: "Keyboard shortcuts", keys_on: "Single-key shortcuts on", key_help: "This list", key_go: "Transfers, Home, Network, Settings, Diagnostics", key_add: "Add a download", key_share: "Share",
  key_search: "Search", key_pause: "Pause or resume what is selected", key_move: "Move in the list", key_extend: "Select more", key_open: "Details", key_all: "Select all", key_remove: "Remove", key_back: "Back to the list", key_space: "Select or not",
  files: "Files", priority: "Priority", priority_of: "Priority of {name}", skip_: "Do not fetch", low: "Low", normal: "Normal", high: "High", more: "Show more", no_files: "The files are not known yet: nobody who has the description has answered so far.",
  play: "Open", pieces: "Pieces", piece_map: "{have} of {all} pieces are here", no_pieces: "Not known yet.", no_peers: "Nobody is connected. Are there trackers, is the DHT on (Network)?",
  address: "Address", client: "Client", road: "Road", direct: "direct", relay: "relay {at}", has: "Has", incoming: "incoming", unknown: "unknown",
  general: "General", copy: "Copy link", copied: "Link copied", save_torrent: "Save .torrent", added_at: "Added", completed_at: "Complete since", infohash: "Infohash", known: "Addresses known", wasted: "Thrown away", bad_pieces: "Bad pieces", comment: "Comment",
  trackers: "Trackers", no_trackers: "None.", tracker_peers: "{n} peers", not_yet: "no answer yet", gone: "This transfer is gone", category: "Category", tags: "Tags",
  now: "Now", rates_drawn: "Rates of the last two minutes: down {down}, up {up}", limits: "Limits and use", unlimited: "no limit", of: "{used} of {limit}", warnings: "Warnings", no_warnings: "Nothing to warn of.",
  active: "Under way", nothing_active: "Nothing is under way.", free: "Free on the disk", total_down: "Received in all", total_up: "Sent in all", connections: "Connections", pause_all: "Pause everything", resume_all: "Resume everything", all_paused: "Everything is paused.", all_paused_until: "Everything is paused until {time}.",
  dht: "DHT", dht_off: "The DHT is off: only trackers and links with addresses find peers. `--dht on` or `dht.enabled` turns it on.", dht_nodes: "Nodes known", dht_size: "Nodes in the network, about", dht_torrents: "Torrents kept for others", dht_items: "Items kept for others", node_id: "Our identifier",
  listening: "Listening on", reachable: "Others reach us at", mapped: "Router leads here", not_mapped: "no", our_key: "Our key", opening: "Being opened", no_reach: "not known yet",
  limits_title: "Limits", upload_limit: "Upload, KiB per second", download_limit: "Download, KiB per second", downloads: "Downloads at a time", zero: "0: no limit", alternative: "Alternative limits", save: "Save", saved: "Saved",
  all_settings: "All settings", settings_text: "They are read from the configuration file and the environment; this page does not write them.", search_settings: "Search settings", value: "Value", origin: "From", what: "What it does", key: "Key", admin_only: "This takes the scope admin.", page: "This page", choose_language: "Language", logout: "End the session", control_only: "Your session may only look.",
  events: "Events", events_none: "Nothing has happened since this page was opened.", version: "Version", process: "Process", started: "Running since", health: "Health", api_docs: "API documentation", when: "When", kind: "Kind",
  ev_transfer_added: "Added: {name}", ev_transfer_complete: "Complete: {name}", ev_error: "Failed: {name}: {note}", clear: "Clear selection", sort: "Sort by {name}",
};
const de = {
  language: "Deutsch", skip: "Zum Inhalt", nav: "Hauptmenü", transfers: "Übertragungen", home: "Übersicht", network: "Netz", settings: "Einstellungen",
  diagnostics: "Diagnose", cancel: "Abbrechen", close: "Schließen", add: "Hinzufügen", share: "Teilen", pause: "Anhalten", resume: "Fortsetzen",
  remove: "Entfernen", details: "Einzelheiten", recheck: "Neu prüfen", back: "Zurück zu den Übertragungen", search: "Nach Namen suchen", state: "Zustand", all: "Alle",
  name: "Name", progress: "Fertig", down: "Ab", up: "Auf", eta: "Rest", ratio: "Verhältnis", peers: "Peers", size: "Größe",
  queued: "Wartet", checking: "Wird geprüft", metadata: "Beschreibung wird geholt", downloading: "Lädt", seeding: "Verteilt", paused: "Angehalten", moving: "Wird verschoben", error: "Fehler",
  no_answer: "Der Daemon antwortet nicht. Läuft er? `peerage daemon` startet ihn", offline: "Der Daemon antwortet nicht; neuer Versuch läuft.", online_again: "Der Daemon antwortet wieder.",
  many_news: "{n} neue Meldungen", login: "Diese Seite mit einem Link öffnen", login_text: "Der Daemon muss wissen, dass Sie es sind. Lassen Sie sich einen Link ausgeben und öffnen Sie ihn:",
  login_bad: "Dieser Link wurde schon benutzt oder ist zu alt. Lassen Sie sich einen neuen ausgeben:", login_token: "Oder ein API-Token eingeben", enter: "Eintreten",
  none: "Noch keine Übertragungen", none_text: "Fügen Sie einen Magnet-Link oder eine .torrent-Datei hinzu, ziehen Sie eine .torrent-Datei hierher, oder teilen Sie eine eigene Datei.", none_match: "Nichts passt. Ändern Sie Suche oder Zustand.",
  add_title: "Download hinzufügen", link: "Magnet-Link, Infohash oder Adresse einer .torrent-Datei", or_file: "Oder eine .torrent-Datei", folder: "Ordner", folder_help: "Leer: der des Daemons, {folder}",
  add_paused: "Angehalten hinzufügen", sequential: "Von vorn nach hinten (zum Abspielen während des Ladens)", added: "Hinzugefügt: {name}", add_nothing: "Geben Sie einen Link ein oder wählen Sie eine Datei",
  share_title: "Dateien dieses Rechners teilen", path: "Pfad auf dem Rechner des Daemons", path_help: "Absolut, etwa /home/ich/film.mkv. Die Datei bleibt, wo und wie sie ist.",
  sharing: "Dateien werden gelesen: {part}", shared: "Geteilt: {name}", dropped_other: "Hierher können nur .torrent-Dateien gezogen werden. Zum Teilen dient „Teilen“ mit dem Pfad: Browser verraten ihn nicht.",
  remove_title: "{n} Übertragungen entfernen?", remove_one: "„{name}“ entfernen?", remove_data: "Auch die Dateien löschen (nicht umkehrbar)", remove_text: "Die Dateien bleiben, wenn Sie nichts anderes sagen.",
  removed_n: "Entfernt: {n}", paused_n: "Angehalten: {n}", resumed_n: "Fortgesetzt: {n}", selected: "{n} ausgewählt", count: "{n} von {all} Übertragungen",
  shortcuts: "Tastenkürzel", keys_on: "Kürzel aus einer Taste eingeschaltet", key_help: "Diese Liste", key_go: "Übertragungen, Übersicht, Netz, Einstellungen, Diagnose", key_add: "Download hinzufügen", key_share: "Teilen",
  key_search: "Suchen", key_pause: "Auswahl anhalten oder fortsetzen", key_move: "In der Liste bewegen", key_extend: "Auswahl erweitern", key_open: "Einzelheiten", key_all: "Alle auswählen", key_remove: "Entfernen", key_back: "Zurück zur Liste", key_space: "Auswählen oder nicht",
  files: "Dateien", priority: "Vorrang", priority_of: "Vorrang von {name}", skip_: "Nicht laden", low: "Niedrig", normal: "Normal", high: "Hoch", more: "Mehr zeigen", no_files: "Die Dateien sind noch unbekannt: Bisher hat niemand geantwortet, der die Beschreibung hat.",
  play: "Öffnen", pieces: "Stücke", piece_map: "{have} von {all} Stücken sind da", no_pieces: "Noch unbekannt.", no_peers: "Niemand ist verbunden. Gibt es Tracker, ist die DHT an (Netz)?",
  address: "Adresse", client: "Programm", road: "Weg", direct: "direkt", relay: "über {at}", has: "Hat", incoming: "von außen", unknown: "unbekannt",
  general: "Allgemein", copy: "Link kopieren", copied: "Link kopiert", save_torrent: ".torrent sichern", added_at: "Hinzugefügt", completed_at: "Vollständig seit", infohash: "Infohash", known: "Bekannte Adressen", wasted: "Verworfen", bad_pieces: "Schlechte Stücke", comment: "Kommentar",
  trackers: "Tracker", no_trackers: "Keine.", tracker_peers: "{n} Peers", not_yet: "noch keine Antwort", gone: "Diese Übertragung gibt es nicht mehr", category: "Kategorie", tags: "Schlagwörter",
  now: "Jetzt", rates_drawn: "Raten der letzten zwei Minuten: ab {down}, auf {up}", limits: "Grenzen und Verbrauch", unlimited: "keine Grenze", of: "{used} von {limit}", warnings: "Warnungen", no_warnings: "Es gibt nichts zu warnen.",
  active: "Im Gange", nothing_active: "Nichts ist im Gange.", free: "Frei auf der Platte", total_down: "Insgesamt empfangen", total_up: "Insgesamt gesendet", connections: "Verbindungen", pause_all: "Alles anhalten", resume_all: "Alles fortsetzen", all_paused: "Alles ist angehalten.", all_paused_until: "Alles ist angehalten bis {time}.",
  dht: "DHT", dht_off: "Die DHT ist aus: Nur Tracker und Links mit Adressen finden Peers. `--dht on` oder `dht.enabled` schaltet sie ein.", dht_nodes: "Bekannte Knoten", dht_size: "Knoten im Netz, etwa", dht_torrents: "Torrents für andere", dht_items: "Einträge für andere", node_id: "Unsere Kennung",
  listening: "Hört auf", reachable: "Andere erreichen uns unter", mapped: "Router führt hierher", not_mapped: "nein", our_key: "Unser Schlüssel", opening: "Im Aufbau", no_reach: "noch unbekannt",
  limits_title: "Grenzen", upload_limit: "Hochladen, KiB je Sekunde", download_limit: "Herunterladen, KiB je Sekunde", downloads: "Downloads gleichzeitig", zero: "0: keine Grenze", alternative: "Alternative Grenzen", save: "Speichern", saved: "Gespeichert",
  all_settings: "Alle Einstellungen", settings_text: "Sie kommen aus der Konfigurationsdatei und der Umgebung; diese Seite schreibt sie nicht.", search_settings: "Einstellungen suchen", value: "Wert", origin: "Woher", what: "Was sie tut", key: "Schlüssel", admin_only: "Das verlangt das Recht admin.", page: "Diese Seite", choose_language: "Sprache", logout: "Sitzung beenden", control_only: "Ihre Sitzung darf nur schauen.",
  events: "Ereignisse", events_none: "Seit diese Seite offen ist, ist nichts geschehen.", version: "Version", process: "Prozess", started: "Läuft seit", health: "Zustand", api_docs: "API-Dokumentation", when: "Wann", kind: "Art",
  ev_transfer_added: "Hinzugefügt: {name}", ev_transfer_complete: "Vollständig: {name}", ev_error: "Gescheitert: {name}: {note}", clear: "Auswahl aufheben", sort: "Nach {name} ordnen",
};

/** All languages, by their tag. */
export const CATALOGUE = { en, de };
const RIGHT_TO_LEFT = ["ar", "fa", "he", "ur"];

function choose() {
  const wanted = [localStorage.getItem("language"), ...navigator.languages].filter(Boolean);
  return wanted.map((tag) => tag.split("-")[0]).find((tag) => tag in CATALOGUE) || "en";
}

export const language = choose();
/** For numbers and times. */
export const locale = navigator.languages.find((tag) => tag.startsWith(language)) || language;
document.documentElement.lang = language;
document.documentElement.dir = RIGHT_TO_LEFT.includes(language) ? "rtl" : "ltr";

/** The text of a key, with its values put in. */
export function t(key, values) {
  const text = CATALOGUE[language][key] ?? en[key] ?? key;
  return values ? text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? "")) : text;
}
