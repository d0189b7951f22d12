// Draws the figures of the page from the data beside them, in the colours of the page.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const touch = matchMedia("(pointer: coarse)").matches;
  const narrow = innerWidth < 640;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function themed(layout) {
    const ink = css("--ink"), rule = css("--rule");
    const axis = { gridcolor: rule, zerolinecolor: rule, linecolor: rule, title: { standoff: 8, font: { size: 13 } } };
    const merge = (own) => ({
      ...axis,
      ...(own.zeroline ? { zerolinecolor: ink } : {}),
      ...own,
      title: { ...axis.title, ...own.title },
    });
    return {
      ...layout,
      font: { family: css("--font"), size: 13, color: ink },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      hoverlabel: { bgcolor: css("--card"), bordercolor: rule, font: { color: ink }, align: "left" },
      hovermode: "closest",
      dragmode: touch ? false : "zoom",
      xaxis: merge(layout.xaxis),
      yaxis: merge(layout.yaxis),
      annotations: (layout.annotations || []).map((a) => ({
        ...a,
        bgcolor: css("--paper"),
        text: narrow ? a.text.split("  ")[0] : a.text, // the figures stand in the table too
      })),
    };
  }

  // The same hues, lighter: on a dark page the darker ones of the palette do not stand out.
  const lighter = { "#0072b2": "#5db4ec", "#d55e00": "#f08a3c", "#009e73": "#35c79b", "#8c8c8c": "#a6a6a6" };

  function colored(data) {
    if (!dark.matches) return data;
    return JSON.parse(JSON.stringify(data).replace(/#[0-9a-f]{6}/g, (color) => lighter[color] || color));
  }

  function draw() {
    for (const [id, figure] of Object.entries(figures)) {
      const place = document.getElementById(id);
      place.closest("figure").hidden = false;
      Plotly.react(place, colored(figure.data), themed(figure.layout), { responsive: true, displayModeBar: false });
    }
  }

  draw();
  dark.addEventListener("change", draw);
})();
