/* From a folder on disk there is no navigation without reloading; left on, it ends the theme's own start
 * (mkdocs-material 9.8). So the feature is taken out of the page's settings before the theme reads them. */
if (location.protocol === "file:") {
  new MutationObserver((changes, observer) => {
    const settings = document.getElementById("__config");
    if (!settings?.nextSibling) return; // not read to its end
    observer.disconnect();
    const said = JSON.parse(settings.textContent);
    said.features = said.features.filter((feature) => !feature.startsWith("navigation.instant"));
    settings.textContent = JSON.stringify(said);
  }).observe(document, { childList: true, subtree: true });
}
