// The questions of coroutines, answered by Go's goroutines. Prints one line of JSON.
//
//	async sleepers N
//	async channel one|two ITEMS
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func fail(why ...any) {
	fmt.Fprintln(os.Stderr, why...)
	os.Exit(1)
}

func peakKiB() float64 {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		fail(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == "VmHWM:" {
			n, _ := strconv.ParseFloat(words[1], 64)
			return n
		}
	}
	return 0
}

func cpu() float64 {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return float64(r.Utime.Nano()+r.Stime.Nano()) * 1e-9
}

func sleepers(n int) {
	var all sync.WaitGroup
	all.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			time.Sleep(100 * time.Millisecond)
			all.Done()
		}()
	}
	all.Wait()
}

func channel(n int) {
	c := make(chan uint64, 1024)
	go func() {
		for i := 0; i < n; i++ {
			c <- uint64(i)
		}
		close(c)
	}()
	sum := uint64(0)
	for i := range c {
		sum += i
	}
	if sum != uint64(n)*uint64(n-1)/2 {
		fail("wrong sum")
	}
}

func main() {
	if len(os.Args) < 3 {
		fail("usage: async sleepers N | channel one|two ITEMS")
	}
	n, err := strconv.Atoi(os.Args[len(os.Args)-1])
	if err != nil {
		fail(err)
	}
	if os.Args[2] == "one" {
		runtime.GOMAXPROCS(1)
	}
	before, start, used := peakKiB(), time.Now(), cpu()
	switch os.Args[1] {
	case "sleepers":
		sleepers(n)
	case "channel":
		channel(n)
	default:
		fail("no such question")
	}
	wall := time.Since(start).Seconds()
	fmt.Printf("{\"items\": %d, \"wall_s\": %g, \"cpu_s\": %g, \"switches\": 0, \"peak_rss_kib\": %g, \"bytes_per_task\": %g}\n",
		n, wall, cpu()-used, peakKiB(), 1024*(peakKiB()-before)/float64(n))
}
