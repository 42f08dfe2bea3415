"use strict";
/* Opens a worst case in NiiVue from base64 in the page. */
(() => {
  const data = JSON.parse(document.getElementById("viewer-data").textContent);
  const $ = (id) => document.getElementById(id);
  const panel = $("viewer"), status = $("viewer-status");
  let viewer = null, opener = null;

  async function start() {
    if (viewer) return viewer;
    const made = new niivue.Niivue({
      backColor: [0, 0, 0, 1], crosshairColor: [1, 1, 1, 0.45], show3Dcrosshair: true, isRadiologicalConvention: true,
      loadingText: "", isOrientationTextVisible: true, crosshairWidth: 0.25, multiplanarLayout: 2, multiplanarShowRender: 1, textHeight: 0.07, dragAndDropEnabled: false, logLevel: "silent",
    });
    await made.attachToCanvas($("viewer-canvas"));
    made.addColormap("medseg_reference", { R: [0, 86], G: [0, 180], B: [0, 233], A: [0, 255], I: [0, 255] });
    made.addColormap("medseg_prediction", { R: [0, 245], G: [0, 160], B: [0, 76], A: [0, 255], I: [0, 255] });
    viewer = made;
    return made;
  }
  const image = (base64, name, options) => niivue.NVImage.loadFromBase64({ base64, name: `${name}.nii.gz`, ...options });

  async function open(button) {
    opener = button;
    const volume = data.volumes[Number(button.dataset.volume)], structure = button.dataset.structure;
    panel.hidden = false;
    status.textContent = "Loading …";
    $("viewer-title").textContent = `${volume.case}, ${data.structures[Number(structure)]}`;
    try {
      const nv = await start();
      while (nv.volumes.length) nv.removeVolume(nv.volumes[0]);
      const mask = { cal_min: 0, cal_max: 1, opacity: 0.5 };
      nv.addVolume(await image(volume.image, "image", { colormap: "gray", cal_min: 0, cal_max: 255 }));
      nv.addVolume(await image(volume.reference[structure], "reference", { colormap: "medseg_reference", ...mask }));
      nv.addVolume(await image(volume.prediction[structure], "prediction", { colormap: "medseg_prediction", ...mask }));
      for (const id of ["viewer-reference", "viewer-prediction"]) $(id).setAttribute("aria-pressed", "true");
      nv.setSliceType(nv.sliceTypeMultiplanar);
      $("viewer-view").setAttribute("aria-pressed", "false");
      nv.scene.crosshairPos = centre(nv.volumes[1], nv.volumes[2]);
      nv.drawScene();
      status.textContent = "";
    } catch (error) {
      status.textContent = `The viewer could not start (${error.message}). It needs WebGL 2; the pictures above do not.`;
    }
    panel.scrollIntoView({ block: "start" });
    $("viewer-canvas").focus({ preventScroll: true });
  }

  // The middle of both masks, in shares of the volume, so that the cross starts on the structure.
  function centre(...masks) {
    const [nx, ny, nz] = masks[0].dimsRAS.slice(1, 4);
    const sum = [0, 0, 0];
    let n = 0;
    for (const mask of masks) mask.img2RAS().forEach((value, index) => {
      if (!value) return;
      sum[0] += index % nx; sum[1] += Math.floor(index / nx) % ny; sum[2] += Math.floor(index / (nx * ny)); n += 1;
    });
    return n ? [(sum[0] / n + 0.5) / nx, (sum[1] / n + 0.5) / ny, (sum[2] / n + 0.5) / nz] : [0.5, 0.5, 0.5];
  }

  function toggle(id, volume) {
    $(id).addEventListener("click", () => {
      const on = $(id).getAttribute("aria-pressed") !== "true";
      $(id).setAttribute("aria-pressed", String(on));
      viewer.setOpacity(volume, on ? 0.5 : 0);
    });
  }
  toggle("viewer-reference", 1);
  toggle("viewer-prediction", 2);
  $("viewer-view").addEventListener("click", () => {
    const one = $("viewer-view").getAttribute("aria-pressed") !== "true";
    $("viewer-view").setAttribute("aria-pressed", String(one));
    viewer.setSliceType(one ? viewer.sliceTypeAxial : viewer.sliceTypeMultiplanar);
  });
  $("viewer-close").addEventListener("click", () => { panel.hidden = true; opener?.focus(); });
  document.querySelectorAll("button[data-volume]").forEach((b) => b.addEventListener("click", () => open(b)));
})();
