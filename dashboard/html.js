import {h} from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";

export {Component, render} from "./vendor/preact.mjs";
export const html = htm.bind(h);
