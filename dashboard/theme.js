// Runs before anything is painted: the theme that was chosen, or else the system's.
"use strict";
{
    const chosen = localStorage.getItem("headgate.theme");
    if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
}
