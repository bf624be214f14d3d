// A face to turn by hand: landmarks and outlines of truth and prediction, drawn on a canvas.
(() => {
  const holder = document.getElementById("viewer");
  if (!holder) return;
  const data = JSON.parse(document.getElementById("faces").textContent);
  const canvas = holder.querySelector("canvas"), pen = canvas.getContext("2d");
  const choice = holder.querySelector("select"), say = holder.querySelector("output");
  const boxes = { truth: holder.querySelector("#show-truth"), prediction: holder.querySelector("#show-prediction"),
                  lines: holder.querySelector("#show-lines") };
  let yaw = -0.5, pitch = 0.1, zoom = 1;

  const turned = ([x, y, z]) => {
    const a = x * Math.cos(yaw) + z * Math.sin(yaw), b = z * Math.cos(yaw) - x * Math.sin(yaw);
    return [a, y * Math.cos(pitch) - b * Math.sin(pitch), b * Math.cos(pitch) + y * Math.sin(pitch)];
  };
  const draw = () => {
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = width * ratio; canvas.height = height * ratio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const sample = data.samples[choice.selectedIndex], scale = zoom * Math.min(width, height) / 2.9;
    const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name);
    const place = point => { const [x, y] = turned(point.map((v, i) => v - data.centre[i]));
      return [width / 2 + scale * x, height / 2 - scale * y]; };
    const shapes = ["truth", "prediction"].filter(name => sample[name] && boxes[name].checked);
    if (boxes.lines.checked && shapes.length === 2) {
      pen.strokeStyle = colour("quiet"); pen.lineWidth = 1; pen.beginPath();
      sample.truth.forEach((point, i) => { pen.moveTo(...place(point)); pen.lineTo(...place(sample.prediction[i])); });
      pen.stroke();
    }
    for (const name of shapes) {
      const points = sample[name].map(place);
      pen.strokeStyle = pen.fillStyle = colour(name); pen.lineWidth = 1.5;
      for (const outline of data.outlines) {
        pen.beginPath();
        outline.forEach((i, k) => k ? pen.lineTo(...points[i]) : pen.moveTo(...points[i]));
        pen.stroke();
      }
      for (const [x, y] of points) { pen.beginPath(); pen.arc(x, y, 2, 0, 7); pen.fill(); }
    }
    say.textContent = sample.text;
    canvas.dataset.drawn = `${choice.selectedIndex} ${yaw.toFixed(3)} ${pitch.toFixed(3)} ${zoom.toFixed(3)}`;
  };

  const fingers = new Map();
  const gap = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
  canvas.addEventListener("pointerdown", event => {
    canvas.setPointerCapture(event.pointerId); fingers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", event => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const apart = fingers.size === 2 ? gap() : 0;
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (fingers.size === 2) zoom = Math.min(6, Math.max(0.4, zoom * gap() / Math.max(apart, 1)));
    else { yaw += (event.clientX - before[0]) / 150;
           pitch = Math.min(1.5, Math.max(-1.5, pitch + (event.clientY - before[1]) / 150)); }
    draw();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, event => fingers.delete(event.pointerId));
  canvas.addEventListener("wheel", event => {
    event.preventDefault(); zoom = Math.min(6, Math.max(0.4, zoom * Math.exp(-event.deltaY / 600))); draw();
  }, { passive: false });
  canvas.addEventListener("keydown", event => {
    const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
    if (step) { event.preventDefault(); yaw += step[0]; pitch += step[1]; draw(); }
  });
  choice.addEventListener("change", draw);
  Object.values(boxes).forEach(box => box.addEventListener("change", draw));
  window.addEventListener("resize", draw);
  draw();
})();
