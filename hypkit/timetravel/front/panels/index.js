// The panels beside the code. A new panel is a file in this folder and a line here.

import { addressPanel } from "./address.js";
import { costPanel } from "./cost.js";
import { memoryPanel } from "./memory.js";
import { notesPanel } from "./notes.js";
import { originPanel } from "./origin.js";
import { statePanel } from "./state.js";
import { whatIfPanel } from "./whatif.js";

/**
 * key: the panel's name in the program; letter: the key that opens it; name: on its tab; nodes:
 * what it shows of a view, anew for every step.
 * @typedef {{key: string, letter: string, name: string, says: string, nodes: (view: any) => any[]}} Panel
 */

/** @type {Panel[]} */
export const PANELS = [statePanel, memoryPanel, addressPanel, originPanel, costPanel, whatIfPanel, notesPanel];
