// The twin of bench/clients/meter.py: wall clock, CPU and peak memory of one job, printed as one JSON line.

import fs from 'node:fs';
import { performance } from 'node:perf_hooks';

function peakMemory() {
    const status = fs.readFileSync('/proc/self/status', 'latin1');
    return Number(/VmHWM:\s+(\d+)/.exec(status)[1]) * 1024;
}

function forgetPeakMemory() {
    try {
        fs.writeFileSync('/proc/self/clear_refs', '5');
    } catch {
        // not ours to write: the peak then counts from the start of the process
    }
    return peakMemory();
}

export class Meter {
    constructor() {
        this.memory = forgetPeakMemory();
        this.cpu = process.cpuUsage();
        this.wall = performance.now();
    }

    ready() {
        this.readyAt = performance.now();
    }

    answered() {
        this.answeredAt = performance.now();
    }

    report(messages) {
        const wall = (performance.now() - this.wall) / 1e3;
        const cpu = process.cpuUsage(this.cpu);
        const figures = {
            messages,
            wall,
            cpu: (cpu.user + cpu.system) / 1e6,
            transfer: this.answeredAt ? (this.answeredAt - this.readyAt) / 1e3 : null,
            memory: peakMemory() - this.memory
        };
        fs.writeSync(1, JSON.stringify(figures) + '\n');
    }
}
