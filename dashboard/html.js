import {h} from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";

export {Component, render} from "./vendor/preact.mjs";
export const html = htm.bind(h);

// Preact would reorder the flows with this. In Chromium (seen in 156) an element that is moved so may keep the style that it had before its
// classes changed: a flow that stalls moves to the top in the same turn, and its pipe stayed green.
Element.prototype.moveBefore = undefined;
