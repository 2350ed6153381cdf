"use strict";
// The slice viewer: pairs from the page's own JSON, drawn by NiiVue, which comes compressed in the page too.
(() => {
  const byId = (id) => document.getElementById(id);
  const pairs = JSON.parse(byId("pairs").textContent);
  const canvas = byId("slices");
  const choice = byId("pair");
  const sliders = [...document.querySelectorAll(".slice")];
  let nv = null;
  let wanted = 0; // a pair that takes long must not replace one chosen after it

  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(plain).text();
  }

  async function start() {
    const script = document.createElement("script");
    script.textContent = await unpack(byId("niivue").textContent.trim());
    document.head.append(script);
    nv = new niivue.Niivue({
      backColor: [0, 0, 0, 1],
      crosshairColor: [1, 1, 1, 0.4],
      crosshairGap: 4,
      crosshairWidth: 1,
      crosshairWidthUnit: "mm",
      dragAndDropEnabled: false,
      fontColor: [0.75, 0.78, 0.82, 1],
      isRadiologicalConvention: true,
      logLevel: "error",
      sagittalNoseLeft: true,
      multiplanarForceRender: false,
      multiplanarShowRender: niivue.SHOW_RENDER.NEVER,
      show3Dcrosshair: false,
    });
    nv.onLocationChange = showPosition;
    await nv.attachToCanvas(canvas, true);
    await show(0);
  }

  // NiiVue makes a label's rim as opaque as it is told, and its inside as opaque as the label's own colour.
  function colours(pair, inside) {
    const rows = [[0, "", "#000000"], ...pair.colours];
    const channel = (at) => rows.map(([, , colour]) => parseInt(colour.slice(at, at + 2), 16));
    return {
      R: channel(1), G: channel(3), B: channel(5),
      A: rows.map(([value]) => (value ? inside : 0)),
      I: rows.map(([value]) => value),
      labels: rows.map(([, name]) => name),
    };
  }

  async function show(index) {
    const mine = ++wanted;
    const pair = pairs[index];
    choice.value = String(index);
    const [image, mask] = await Promise.all([
      niivue.NVImage.loadFromBase64({ base64: pair.image, name: "image.nii.gz", cal_min: pair.window[0], cal_max: pair.window[1] }),
      niivue.NVImage.loadFromBase64({ base64: pair.mask, name: "mask.nii.gz" }),
    ]);
    if (mine !== wanted) return;
    for (const volume of [...nv.volumes]) nv.removeVolume(volume);
    nv.addVolume(image);
    nv.addVolume(mask);
    paint();
    byId("planes").dispatchEvent(new Event("change"));
    const sizes = image.dimsRAS;
    for (const slider of sliders) slider.max = sizes[1 + Number(slider.dataset.axis)] - 1;
    goTo(pair.voxel);
    describe(pair);
    document.documentElement.dataset.shown = pair.name; // for tests
  }

  function describe(pair) {
    byId("detail").textContent = pair.name + ". " + pair.detail + ".";
    byId("structures").replaceChildren(...pair.colours.map(([, name, colour]) => {
      const item = document.createElement("li");
      item.textContent = name;
      item.style.setProperty("--own", colour);
      return item;
    }));
  }

  function paint() {
    const opacity = Number(byId("opacity").value) / 100;
    const outlined = byId("outline").checked;
    nv.volumes[1].setColormapLabel(colours(pairs[choice.value], outlined ? 0 : 255));
    nv.volumes[1].opacity = opacity;
    nv.setAtlasOutline(outlined ? opacity : 0);
  }

  const voxel = () => [...nv.frac2vox(nv.scene.crosshairPos)];

  function goTo(position) {
    nv.scene.crosshairPos = nv.vox2frac(position);
    nv.drawScene();
    nv.createOnLocationChange();
  }

  function showPosition() {
    const at = voxel();
    for (const slider of sliders) {
      slider.value = at[Number(slider.dataset.axis)];
      slider.nextElementSibling.textContent = `${Number(slider.value) + 1}/${Number(slider.max) + 1}`;
    }
  }

  function step(axis, by) {
    const at = voxel();
    const last = nv.volumes[0].dimsRAS[1 + axis] - 1;
    at[axis] = Math.min(last, Math.max(0, at[axis] + by));
    goTo(at);
  }

  const change = (by) => show((Number(choice.value) + by + pairs.length) % pairs.length);
  const keys = {
    ArrowUp: () => step(1, 1), ArrowDown: () => step(1, -1),
    ArrowLeft: () => step(0, 1), ArrowRight: () => step(0, -1), // the patient's right is on the left
    PageUp: () => step(2, 1), PageDown: () => step(2, -1),
    n: () => change(1), p: () => change(-1),
  };

  function listen() {
    choice.addEventListener("change", () => show(Number(choice.value)));
    byId("next").addEventListener("click", () => change(1));
    byId("previous").addEventListener("click", () => change(-1));
    byId("planes").addEventListener("change", (event) => nv.setSliceType(Number(event.target.value)));
    byId("opacity").addEventListener("input", paint);
    byId("outline").addEventListener("change", paint);
    for (const slider of sliders) {
      slider.addEventListener("input", () => {
        const at = voxel();
        at[Number(slider.dataset.axis)] = Number(slider.value);
        goTo(at);
      });
    }
    // Before NiiVue's own listeners: the page scrolls on until the reader has clicked into the picture.
    const outer = canvas.closest(".viewer");
    outer.addEventListener("wheel", (event) => {
      if (event.target === canvas && document.activeElement !== canvas) event.stopPropagation();
    }, { capture: true });
    outer.addEventListener("keydown", (event) => {
      if (event.target !== canvas || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
      event.preventDefault();
      event.stopPropagation();
      keys[event.key]();
    }, { capture: true });
  }

  function fail(error) {
    canvas.parentElement.hidden = true;
    byId("hint").textContent =
      `The slice viewer cannot run here (${error.message}). It needs WebGL 2 and a browser of 2023 or later; the mosaics above show the same pairs.`;
  }

  if (!document.createElement("canvas").getContext("webgl2")) fail(new Error("no WebGL 2"));
  else start().then(listen).catch(fail);
})();
