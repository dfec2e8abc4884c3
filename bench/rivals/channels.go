// The same questions, answered by Go's channels. Prints one line of JSON.
//
//	channels throughput PRODUCERS CONSUMERS ITEMS [number|64B|4KiB|unique_ptr|string]
//	channels round_trip ROUND_TRIPS
//	channels phases WORKERS,WORKERS,WORKERS ITEMS nothing|compute:NS|sleep:NS
//	channels idle queue|pipeline SECONDS
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const capacity = 1024

func fail(why ...any) {
	fmt.Fprintln(os.Stderr, why...)
	os.Exit(1)
}

func number(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		fail("not a number:", text)
	}
	return n
}

// 0 + 1 + ... + (n - 1)
func sumBelow(n uint64) uint64 {
	if n%2 == 0 {
		return n / 2 * (n - 1)
	}
	return (n - 1) / 2 * n
}

func check(what string, got, want uint64) {
	if got != want {
		fail("wrong result:", what, "is", got, "not", want)
	}
}

type stopwatch struct {
	start    time.Time
	cpu      float64
	switches int64
}

func usage() (cpu float64, switches int64) {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return float64(r.Utime.Nano()+r.Stime.Nano()) * 1e-9, r.Nvcsw
}

func started() stopwatch {
	cpu, switches := usage()
	return stopwatch{time.Now(), cpu, switches}
}

func (w stopwatch) print(items uint64, more string) {
	wall := time.Since(w.start).Seconds()
	cpu, switches := usage()
	peak := "0"
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range bytes.Split(status, []byte("\n")) {
		if bytes.HasPrefix(line, []byte("VmHWM:")) {
			peak = string(bytes.Fields(line)[1])
		}
	}
	fmt.Printf("{\"items\": %d, \"wall_s\": %g, \"cpu_s\": %g, \"switches\": %d, \"peak_rss_kib\": %s%s}\n",
		items, wall, cpu-w.cpu, switches-w.switches, peak, more)
}

// The same chain of dependent multiplications as in measure.hpp.
//
//go:noinline
func compute(seed, steps uint64) uint64 {
	for i := uint64(0); i < steps; i++ {
		seed = seed*6364136223846793005 + 1442695040888963407
	}
	return seed
}

// Steps that take so long, and how long they really take when nothing disturbs: the shortest of many probes.
func calibrated(ns float64) (steps uint64, really float64) {
	const probe = 1000000
	best := time.Hour
	for i := uint64(0); i < 50; i++ {
		start := time.Now()
		compute(i, probe)
		if took := time.Since(start); took < best {
			best = took
		}
	}
	step := float64(best.Nanoseconds()) / probe
	steps = uint64(ns/step + .5)
	return steps, float64(steps) * step
}

func throughput[T any](producers, consumers, items uint64, make_ func(uint64) T, number func(T) uint64) {
	queue := make(chan T, capacity)
	begin := make(chan struct{})
	var ready, producing, consuming sync.WaitGroup
	counts, sums := make([]uint64, consumers), make([]uint64, consumers)
	ready.Add(int(producers + consumers))
	producing.Add(int(producers))
	consuming.Add(int(consumers))
	for i := uint64(0); i < consumers; i++ {
		go func(i uint64) {
			defer consuming.Done()
			ready.Done()
			<-begin
			var count, sum uint64
			for item := range queue {
				count++
				sum += number(item)
			}
			counts[i], sums[i] = count, sum
		}(i)
	}
	for i := uint64(0); i < producers; i++ {
		go func(i uint64) {
			defer producing.Done()
			ready.Done()
			<-begin
			for n := items * i / producers; n < items*(i+1)/producers; n++ {
				queue <- make_(n)
			}
		}(i)
	}
	ready.Wait()
	watch := started()
	close(begin)
	producing.Wait()
	close(queue)
	consuming.Wait()
	var count, sum uint64
	for i := range counts {
		count += counts[i]
		sum += sums[i]
	}
	check("the number of items", count, items)
	check("the sum", sum, sumBelow(items))
	watch.print(items, "")
}

func throughputOf(kind string, producers, consumers, items uint64) {
	switch kind {
	case "number":
		same := func(n uint64) uint64 { return n }
		throughput(producers, consumers, items, same, same)
	case "64B":
		throughput(producers, consumers, items, func(n uint64) (item [8]uint64) {
			for i := range item {
				item[i] = n
			}
			return
		}, func(item [8]uint64) uint64 { return item[7] })
	case "4KiB":
		throughput(producers, consumers, items, func(n uint64) (item [512]uint64) {
			for i := range item {
				item[i] = n
			}
			return
		}, func(item [512]uint64) uint64 { return item[511] })
	case "unique_ptr":
		throughput(producers, consumers, items, func(n uint64) *uint64 { return &n }, func(item *uint64) uint64 { return *item })
	case "string":
		throughput(producers, consumers, items, func(n uint64) string {
			var text [40]byte
			binary.LittleEndian.PutUint64(text[:], n)
			return string(text[:])
		}, func(item string) uint64 {
			var first [8]byte
			copy(first[:], item)
			return binary.LittleEndian.Uint64(first[:])
		})
	default:
		fail("no such kind of item:", kind)
	}
}

func roundTrip(roundTrips uint64) {
	there, back := make(chan uint64, 1), make(chan uint64, 1)
	go func() {
		for item := range there {
			back <- item + 1
		}
		close(back)
	}()
	watch := started()
	var sum uint64
	for i := uint64(0); i < roundTrips; i++ {
		there <- i
		sum += <-back
	}
	check("the sum", sum, sumBelow(roundTrips)+roundTrips)
	watch.print(roundTrips, "")
}

// Starts the workers of a phase; its results end when its input does.
func phase(workers uint64, in <-chan uint64, work func(uint64)) <-chan uint64 {
	out := make(chan uint64, capacity)
	var working sync.WaitGroup
	working.Add(int(workers))
	for i := uint64(0); i < workers; i++ {
		go func() {
			defer working.Done()
			for item := range in {
				work(item)
				out <- item + 1
			}
		}()
	}
	go func() {
		working.Wait()
		close(out)
	}()
	return out
}

func workersOf(text string) (workers [3]uint64) {
	parts := strings.Split(text, ",")
	if len(parts) != 3 {
		fail("three numbers of workers, not", text)
	}
	for i, part := range parts {
		workers[i] = number(part)
	}
	return
}

func phases(workers [3]uint64, items uint64, kind string) {
	name, duration, _ := strings.Cut(kind, ":")
	work, really := func(uint64) {}, 0.
	switch name {
	case "nothing":
	case "compute":
		var steps uint64
		steps, really = calibrated(float64(number(duration)))
		work = func(seed uint64) { compute(seed, steps) }
	case "sleep":
		really = float64(number(duration))
		work = func(uint64) { time.Sleep(time.Duration(really)) }
	default:
		fail("no such work:", kind)
	}
	watch := started()
	source := make(chan uint64, capacity)
	go func() {
		for i := uint64(0); i < items; i++ {
			source <- i
		}
		close(source)
	}()
	var line <-chan uint64 = source
	for _, w := range workers {
		line = phase(w, line, work)
	}
	var count, sum uint64
	for item := range line {
		count++
		sum += item
	}
	check("the number of items", count, items)
	check("the sum", sum, sumBelow(items)+3*items)
	watch.print(items, fmt.Sprintf(", \"work_ns\": %g", really))
}

// What waiting costs: everybody has started and waits.
func idle(what string, duration time.Duration) {
	switch what {
	case "queue":
		empty, full := make(chan uint64, 1), make(chan uint64, 1)
		full <- 0
		for i := 0; i < 3; i++ {
			go func() { <-empty }()
			go func() { full <- 0 }()
		}
	case "pipeline":
		source := make(chan uint64, capacity)
		var line <-chan uint64 = source
		for _, w := range []uint64{3, 4, 5} {
			line = phase(w, line, func(uint64) {})
		}
		source <- 1
		<-line
	default:
		fail("no such thing to idle:", what)
	}
	time.Sleep(100 * time.Millisecond)
	watch := started()
	time.Sleep(duration)
	watch.print(1, "")
}

func main() {
	arguments := append(os.Args[1:], "number")
	switch {
	case len(arguments) >= 5 && arguments[0] == "throughput":
		throughputOf(arguments[4], number(arguments[1]), number(arguments[2]), number(arguments[3]))
	case len(arguments) == 3 && arguments[0] == "round_trip":
		roundTrip(number(arguments[1]))
	case len(arguments) == 5 && arguments[0] == "phases":
		phases(workersOf(arguments[1]), number(arguments[2]), arguments[3])
	case len(arguments) == 4 && arguments[0] == "idle":
		idle(arguments[1], time.Duration(number(arguments[2]))*time.Second)
	default:
		fail("usage: see the top of channels.go")
	}
}
