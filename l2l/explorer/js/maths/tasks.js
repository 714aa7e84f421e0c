// SineTasks().sample: each task uses one row of numbers, in the order amplitude, phase, support, query.
export function sampleTasks(generator, {tasks, shots, query}, family) {
  const between = ([low, high]) => low + (high - low) * generator.double();
  return Array.from({length: tasks}, () => {
    const amplitude = between(family.amplitude), phase = between(family.phase);
    const points = n => {
      const x = Array.from({length: n}, () => between(family.x_range));
      return {x, y: x.map(value => amplitude * Math.sin(value + phase))};
    };
    return {amplitude, phase, support: points(shots), query: points(query)};
  });
}
